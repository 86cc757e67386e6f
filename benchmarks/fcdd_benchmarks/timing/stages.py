"""Which functions of the product make up which stage, in the order of its two flows."""

from fcdd_benchmarks.timing.stage_clock import Watched

WHOLE = "whole"
"""All of it, without start and end of the process."""
SCORING_STARTS = Watched(WHOLE, "fcdd_runtime.runs.run", "ScoreRun.score_all")
HEADERS = "headers"
STUDY_STARTS = Watched(HEADERS, "fcdd_runtime.runs.run", "ScoreRun._score_input")
"""Called once an input, before all else."""
DECODE = "decode"
CALIBRATION = "INT8 calibration"

SCORE_STAGES = (
    SCORING_STARTS,
    Watched("list", "fcdd_runtime.study.read", "_find_files"),
    Watched(HEADERS, "fcdd_runtime.runs.tasks", "read_studies"),
    Watched("phases", "fcdd_runtime.score_study", "split_phases"),
    Watched(DECODE, "fcdd_runtime.study.slices", "read_frame"),
    Watched("subtract and MIP", "fcdd_runtime.score_study", "project"),
    Watched("split", "fcdd_runtime.score_study", "split_breasts"),
    Watched("split", "fcdd_runtime.score_study", "separate_breasts"),
    Watched("resize", "fcdd_runtime.images.network_input", "stack_images"),
    Watched("infer", "fcdd_runtime.score_study", "infer_images"),
    Watched("upsample", "fcdd_runtime.score_study", "upsample"),
    Watched("peak", "fcdd_runtime.score_study", "find_peak"),
    Watched("write result.json", "fcdd_runtime.report.write", "result_json"),
    Watched("write pictures", "fcdd_runtime.report.write", "overlay_image"),
    Watched("write report.html", "fcdd_runtime.report.write", "study_page"),
    Watched("compress PNG", "PIL.Image", "Image.save"),
    Watched("write DICOM objects", "fcdd_runtime.pacs.write", "write_dicom_results"),
    Watched("write folder", "fcdd_runtime.runs.tasks", "write_study_report"),
    Watched("write lists", "fcdd_runtime.runs.run", "ScoreRun._write_lists"),
)

EXPORT_STAGES = (
    Watched(WHOLE, "fcdd_export.cli", "_export_snapshot"),
    Watched("load", "fcdd_export.request", "load_snapshot"),
    Watched("torch answers", "fcdd_export.convert", "references_of"),
    Watched("ONNX graph", "fcdd_export.convert", "onnx_from_network"),
    Watched("FP16", "fcdd_export.convert", "fp16_from_onnx"),
    Watched(CALIBRATION, "fcdd_export.convert", "int8_from_network"),
    Watched("verify", "fcdd_export.convert", "prove"),
    Watched("golden vectors", "fcdd_export.convert", "golden_of"),
    Watched("engine", "fcdd_export.convert", "engine_model"),
    Watched("write", "fcdd_export.convert", "write_models"),
)
