"""The values reported in the paper, for the reference columns of our tables.

Transcribed from the tables of Bao, Hebert, Wang (2022). The metrics are the paper's: on NYUv2 mIoU, absolute depth error and the
angle between coded normals (radians); on Tiny-Taskonomy mean test losses.
"""

from __future__ import annotations

from collections.abc import Mapping
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

MAIN = ("semantic", "depth", "normal")
SIX = (*MAIN, "edge_texture", "reshading", "principal_curvature")


@dataclass(frozen=True)
class PaperTable:
    """Values of one of the paper's tables for one data set."""

    data: str
    tasks: tuple[str, ...]
    metrics: PaperMetric
    values: Mapping[tuple[str, str], tuple[float | None, ...]]
    """(setting, model) -> mean per task."""

    def value(self, setting: str, model: str, task: str) -> float | None:
        """One cell; None if the paper has no value."""
        row = self.values.get((setting, model))
        return row[self.tasks.index(task)] if row and task in self.tasks else None


def _rows(
    setting: str, models: Mapping[str, tuple[float | None, ...]]
) -> dict[tuple[str, str], tuple[float | None, ...]]:
    return {(setting, model): values for model, values in models.items()}


_ST_50 = (0.230, 0.837, 0.309)
_MT_50 = (0.237, 0.819, 0.291)
_MGM_50 = (0.251, 0.734, 0.273)

NYUV2: dict[str, PaperTable] = {
    name: PaperTable("NYUv2", MAIN, PRIMARY, values)
    for name, values in {
        "table2": {
            **_rows("100 %", {"ST": (0.249, 0.748, 0.273), "MT": (0.256, 0.708, 0.283), "MGM": (0.264, 0.698, 0.255)}),
            **_rows("50 %", {"ST": _ST_50, "MT": _MT_50, "MGM": _MGM_50, "MGM_r": (0.258, 0.723, 0.270)}),
            **_rows(
                "25 %",
                {
                    "ST": (0.199, 0.908, 0.312),
                    "MT": (0.207, 0.874, 0.296),
                    "MGM": (0.229, 0.844, 0.277),
                    "MGM_r": (0.231, 0.821, 0.274),
                },
            ),
        },
        "table3": {
            **_rows(
                "100 %", {"MGM/G": (0.261, 0.707, 0.262), "MGM/j": (0.262, 0.701, 0.259), "MGM": (0.264, 0.698, 0.255)}
            ),
            **_rows("50 %", {"MGM/G": (0.243, 0.799, 0.287), "MGM/j": (0.243, 0.763, 0.281), "MGM": _MGM_50}),
            **_rows(
                "25 %", {"MGM/G": (0.215, 0.868, 0.292), "MGM/j": (0.220, 0.860, 0.286), "MGM": (0.229, 0.844, 0.277)}
            ),
        },
        "table4": _rows(
            "50 %",
            {
                "MGM/self": (0.239, 0.776, 0.279),
                "MGM/refine": (0.254, 0.808, 0.290),
                "MGM_recon": (0.241, 0.768, 0.285),
                "MGM": _MGM_50,
            },
        ),
        "table6": _rows(
            "25 %",
            {
                "ST": (0.199, 0.908, 0.312),
                "MT": (0.207, 0.874, 0.296),
                "TaskGrouping": (0.215, 0.853, 0.292),
                "Cross-Stitch": (0.205, 0.917, 0.296),
                "AdaShare": (0.211, 0.875, 0.289),
                "MGM": (0.229, 0.844, 0.277),
            },
        ),
        "table7": _rows(
            "10 %", {"ST": (0.162, 1.004, 0.337), "MT": (0.185, 0.930, 0.311), "MGM": (0.197, 0.911, 0.291)}
        ),
        "table8": _rows(
            "50 %", {"ST": _ST_50, "MT": _MT_50, "ST_l": (0.232, 0.841, 0.304), "MT_l": (0.236, 0.804, 0.288)}
        ),
        "table9": _rows(
            "50 %",
            {
                "MT": (0.237, 0.815, 0.291),
                "PEoE": (0.211, 0.896, 0.301),
                "LSeT": (0.247, 0.768, 0.277),
                "EML": _MGM_50,
            },
        ),
        "table10": _rows(
            "50 %", {"ST": (0.239, 0.849, 0.282), "MT": (0.244, 0.834, 0.313), "MGM": (0.257, 0.819, 0.275)}
        ),
        "table11": {
            (setting, model): (None, None, value)
            for setting, models in {
                "100 %": {"MT": 0.291, "MGM": 0.280},
                "50 %": {"MT": 0.310, "MGM": 0.298},
                "25 %": {"MT": 0.323, "MGM": 0.305},
            }.items()
            for model, value in models.items()
        },
        "table12": _rows(
            "50 %",
            {
                "ST": (0.233, 0.835, 0.309),
                "MT": (0.237, 0.815, 0.291),
                "MGM": _MGM_50,
                "MGM-DCGAN": (0.245, 0.750, 0.285),
            },
        ),
        "table15": _rows(
            "50 %",
            {
                "ST": _ST_50,
                "MGM-SS": (0.244, None, None),
                "MGM-DE": (None, 0.752, None),
                "MGM-SN": (None, None, 0.277),
                "MGM-Combine": (0.249, 0.747, 0.277),
                "MGM": _MGM_50,
            },
        ),
    }.items()
}

TASKONOMY: dict[str, PaperTable] = {
    # the paper does not state the share of labels in the pilot study
    "table1": PaperTable("Tiny-Taskonomy", ("semantic",), LOSSES, _rows("50 %", {"ST": (0.111,), "ST_G": (0.148,)})),
    "table2": PaperTable(
        "Tiny-Taskonomy",
        MAIN,
        LOSSES,
        {
            **_rows("100 %", {"ST": (0.111, 1.716, 0.155), "MT": (0.137, 1.584, 0.153), "MGM": (0.106, 1.472, 0.145)}),
            **_rows(
                "50 %",
                {
                    "ST": (0.120, 1.768, 0.157),
                    "MT": (0.138, 1.595, 0.156),
                    "MGM": (0.114, 1.499, 0.147),
                    "MGM_r": (0.112, 1.378, 0.140),
                },
            ),
            **_rows(
                "25 %",
                {
                    "ST": (0.119, 1.795, 0.154),
                    "MT": (0.141, 1.692, 0.152),
                    "MGM": (0.117, 1.585, 0.148),
                    "MGM_r": (0.115, 1.580, 0.142),
                },
            ),
        },
    ),
    "table3": PaperTable(
        "Tiny-Taskonomy",
        MAIN,
        LOSSES,
        {
            **_rows(
                "100 %", {"MGM/G": (0.108, 1.491, 0.151), "MGM/j": (0.108, 1.488, 0.151), "MGM": (0.106, 1.472, 0.145)}
            ),
            **_rows(
                "50 %", {"MGM/G": (0.116, 1.527, 0.153), "MGM/j": (0.115, 1.523, 0.152), "MGM": (0.114, 1.499, 0.147)}
            ),
            **_rows(
                "25 %", {"MGM/G": (0.119, 1.636, 0.154), "MGM/j": (0.121, 1.616, 0.152), "MGM": (0.117, 1.585, 0.148)}
            ),
        },
    ),
    "table5": PaperTable(
        "Tiny-Taskonomy",
        SIX,
        LOSSES,
        _rows(
            "50 %",
            {
                "ST": (0.120, 1.768, 0.157, 0.228, 0.703, 0.462),
                "MT": (0.112, 1.747, 0.169, 0.241, 0.704, 0.436),
                "MGM": (0.108, 1.715, 0.152, 0.201, 0.699, 0.417),
            },
        ),
    ),
    "table14": PaperTable(
        "Tiny-Taskonomy",
        MAIN,
        LOSSES,
        _rows("5 %", {"ST": (0.137, 1.836, 0.161), "MT": (0.156, 1.807, 0.162), "MGM": (0.125, 1.670, 0.153)}),
    ),
}

CITYSCAPES: dict[str, PaperTable] = {
    "table13": PaperTable("Cityscapes, Zurich", ("semantic",), PRIMARY, _rows("100 %", {"ST": (0.57,), "MGM": (0.64,)}))
}


def paper_table(study: str, data: str) -> PaperTable | None:
    """The paper's table for a study: on the same data set if there is one, else on NYUv2, else on any other.

    Args:
        study: Name in `STUDIES`.
        data: `DatasetInfo.name`.
    """
    order = (TASKONOMY, NYUV2, CITYSCAPES) if data == "taskonomy" else (NYUV2, TASKONOMY, CITYSCAPES)
    return next((tables[study] for tables in order if study in tables), None)
