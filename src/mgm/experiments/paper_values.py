"""The values reported in the paper, for the reference columns of our tables.

Transcribed from the tables of Bao, Hebert, Wang (2022). The metrics are the paper's: on NYUv2 mIoU, absolute depth error and the
angle between coded normals (radians); on Tiny-Taskonomy mean test losses.
"""

from __future__ import annotations

from dataclasses import dataclass

PaperMetric = dict[str, str]
"""Task -> name of the metric reported in the paper."""

PRIMARY: PaperMetric = {"semantic": "miou", "depth": "abs_error_m", "normal": "angle_coded_rad"}
LOSSES: PaperMetric = {
    "semantic": "cross_entropy",
    "depth": "abs_error_m",
    "normal": "l1_coded",
    "edge_texture": "l1",
    "reshading": "l1",
    "principal_curvature": "l1",
}


@dataclass(frozen=True)
class PaperTable:
    """Values of one of the paper's tables for one data set."""

    data: str
    tasks: tuple[str, ...]
    metrics: PaperMetric
    values: dict[tuple[str, str], tuple[float | None, ...]]
    """(setting, model) -> mean per task."""

    def value(self, setting: str, model: str, task: str) -> float | None:
        """One cell; None if the paper has no value. The augmentation after the comma of a setting is ignored."""
        row = self.values.get((setting.partition(",")[0], model))
        return row[self.tasks.index(task)] if row and task in self.tasks else None


def _tables(data: str, metrics: PaperMetric, text: str) -> dict[str, PaperTable]:
    """Read lines of table, per cent of the labels, model, and a value per task (- where the paper has none)."""
    tables: dict[str, PaperTable] = {}
    for line in text.strip().splitlines():
        name, percent, model, *values = line.split()
        table = tables.setdefault(name, PaperTable(data, tuple(LOSSES)[: len(values)], metrics, {}))
        table.values[f"{percent} %", model] = tuple(None if value == "-" else float(value) for value in values)
    return tables


NYUV2 = _tables(
    "NYUv2",
    PRIMARY,
    """
table2   100  ST            0.249  0.748  0.273
table2   100  MT            0.256  0.708  0.283
table2   100  MGM           0.264  0.698  0.255
table2    50  ST            0.230  0.837  0.309
table2    50  MT            0.237  0.819  0.291
table2    50  MGM           0.251  0.734  0.273
table2    50  MGM_r         0.258  0.723  0.270
table2    25  ST            0.199  0.908  0.312
table2    25  MT            0.207  0.874  0.296
table2    25  MGM           0.229  0.844  0.277
table2    25  MGM_r         0.231  0.821  0.274
table3   100  MGM/G         0.261  0.707  0.262
table3   100  MGM/j         0.262  0.701  0.259
table3   100  MGM           0.264  0.698  0.255
table3    50  MGM/G         0.243  0.799  0.287
table3    50  MGM/j         0.243  0.763  0.281
table3    50  MGM           0.251  0.734  0.273
table3    25  MGM/G         0.215  0.868  0.292
table3    25  MGM/j         0.220  0.860  0.286
table3    25  MGM           0.229  0.844  0.277
table4    50  MGM/self      0.239  0.776  0.279
table4    50  MGM/refine    0.254  0.808  0.290
table4    50  MGM_recon     0.241  0.768  0.285
table4    50  MGM           0.251  0.734  0.273
table6    25  ST            0.199  0.908  0.312
table6    25  MT            0.207  0.874  0.296
table6    25  TaskGrouping  0.215  0.853  0.292
table6    25  Cross-Stitch  0.205  0.917  0.296
table6    25  AdaShare      0.211  0.875  0.289
table6    25  MGM           0.229  0.844  0.277
table7    10  ST            0.162  1.004  0.337
table7    10  MT            0.185  0.930  0.311
table7    10  MGM           0.197  0.911  0.291
table8    50  ST            0.230  0.837  0.309
table8    50  MT            0.237  0.819  0.291
table8    50  ST_l          0.232  0.841  0.304
table8    50  MT_l          0.236  0.804  0.288
table9    50  MT            0.237  0.815  0.291
table9    50  PEoE          0.211  0.896  0.301
table9    50  LSeT          0.247  0.768  0.277
table9    50  EML           0.251  0.734  0.273
table10   50  ST            0.239  0.849  0.282
table10   50  MT            0.244  0.834  0.313
table10   50  MGM           0.257  0.819  0.275
table11  100  MT                -      -  0.291
table11  100  MGM               -      -  0.280
table11   50  MT                -      -  0.310
table11   50  MGM               -      -  0.298
table11   25  MT                -      -  0.323
table11   25  MGM               -      -  0.305
table12   50  ST            0.233  0.835  0.309
table12   50  MT            0.237  0.815  0.291
table12   50  MGM           0.251  0.734  0.273
table12   50  MGM-DCGAN     0.245  0.750  0.285
table15   50  ST            0.230  0.837  0.309
table15   50  MGM-SS        0.244      -      -
table15   50  MGM-DE            -  0.752      -
table15   50  MGM-SN            -      -  0.277
table15   50  MGM-Combine   0.249  0.747  0.277
table15   50  MGM           0.251  0.734  0.273
""",
)
# the paper does not state the share of labels in the pilot study, table 1
TASKONOMY = _tables(
    "Tiny-Taskonomy",
    LOSSES,
    """
table1    50  ST            0.111
table1    50  ST_G          0.148
table2   100  ST            0.111  1.716  0.155
table2   100  MT            0.137  1.584  0.153
table2   100  MGM           0.106  1.472  0.145
table2    50  ST            0.120  1.768  0.157
table2    50  MT            0.138  1.595  0.156
table2    50  MGM           0.114  1.499  0.147
table2    50  MGM_r         0.112  1.378  0.140
table2    25  ST            0.119  1.795  0.154
table2    25  MT            0.141  1.692  0.152
table2    25  MGM           0.117  1.585  0.148
table2    25  MGM_r         0.115  1.580  0.142
table3   100  MGM/G         0.108  1.491  0.151
table3   100  MGM/j         0.108  1.488  0.151
table3   100  MGM           0.106  1.472  0.145
table3    50  MGM/G         0.116  1.527  0.153
table3    50  MGM/j         0.115  1.523  0.152
table3    50  MGM           0.114  1.499  0.147
table3    25  MGM/G         0.119  1.636  0.154
table3    25  MGM/j         0.121  1.616  0.152
table3    25  MGM           0.117  1.585  0.148
table5    50  ST            0.120  1.768  0.157  0.228  0.703  0.462
table5    50  MT            0.112  1.747  0.169  0.241  0.704  0.436
table5    50  MGM           0.108  1.715  0.152  0.201  0.699  0.417
table14    5  ST            0.137  1.836  0.161
table14    5  MT            0.156  1.807  0.162
table14    5  MGM           0.125  1.670  0.153
""",
)
CITYSCAPES = _tables(
    "Cityscapes, Zurich",
    PRIMARY,
    """
table13  100  ST             0.57
table13  100  MGM            0.64
""",
)


def paper_table(study: str, data: str) -> PaperTable | None:
    """The paper's table for a study: on the same data set (`DatasetInfo.name`) if there is one, else on NYUv2, else on any."""
    order = (TASKONOMY, NYUV2, CITYSCAPES) if data == "taskonomy" else (NYUV2, TASKONOMY, CITYSCAPES)
    return next((tables[study] for tables in order if study in tables), None)
