"""Cases of the TOML files of model packs: manifest, taxonomy, calibration."""

from __future__ import annotations

import base64
import zlib

import msgspec

from tests.formats.vector_cases import Case, case, file_of, fixed

MANIFEST = f"""format = 1
name = "mine"
version = "1.0.0"
kind = "classifier"
licence = "Apache-2.0"
source = "made for these vectors"

[files]
"model.onnx" = "{fixed("model").hex()}"
"labels.txt" = "{fixed("labels").hex()}"

[input]
name = "input"
size = 224
layout = "NCHW"
colour = "RGB"
dtype = "float32"

[output]
name = "output"
kind = "logits"
classes = 10
labels = "labels.txt"
"""


def manifests() -> str:
    changes = {
        "a later format": ("format = 1", "format = 2", "ManifestInvalid"),
        "no format": ("format = 1\n", "", "ManifestInvalid"),
        "another kind": ('kind = "classifier"', 'kind = "faces"', "KindUnsupported"),
        "an unknown field": ("size = 224", "size = 224\nzoom = 2", "ManifestInvalid"),
        "a field missing": ("size = 224\n", "", "ManifestInvalid"),
        "a name that is a path": ('name = "mine"', 'name = "../mine"', "ManifestInvalid"),
        "a version with a blank": ('"1.0.0"', '"1 0"', "ManifestInvalid"),
        "a file that is a path": ('"labels.txt" =', '"../labels.txt" =', "ManifestInvalid"),
        "a hash in capitals": (fixed("model").hex(), fixed("model").hex().upper(), "ManifestInvalid"),
        "a hash too short": (fixed("model").hex(), fixed("model").hex()[:-1], "ManifestInvalid"),
        "labels that are not listed": ('labels = "labels.txt"', 'labels = "names.txt"', "ManifestInvalid"),
        "no model": ('"model.onnx"', '"weights.onnx"', "ManifestInvalid"),
        "one class": ("classes = 10", "classes = 1", "ManifestInvalid"),
        "a background beyond the classes": ("classes = 10", "classes = 10\nbackground = 10", "ManifestInvalid"),
        "no TOML": ("[input]", "[input", "ManifestInvalid"),
    }
    output = {"name": "mine", "version": "1.0.0", "kind": "classifier", "size": 224, "shorter_side": 256, "classes": 10}
    return changed_file("pack.toml of model packs.", MANIFEST, output, changes)


def changed_file(about: str, good: str, output: Case, changes: dict[str, tuple[str, str, str]]) -> str:
    """Return vectors of a text and of what one change at a time makes of it: (old, new, error) by name."""
    cases = [case("good", "ok", {"file": good}, output)]
    for name, (old, new, error) in changes.items():
        if old not in good:
            raise ValueError(f"nothing to change for: {name}")
        cases.append(case(name, error, {"file": good.replace(old, new, 1)}))
    return file_of(about, cases)


TAXONOMY = """format = 1

[[label]]
name = "animal"

[[label]]
name = "dog"
parents = ["animal"]
wnids = ["n02085620", "n02085782"]
threshold = 0.6

[[label]]
name = "puppy"
parents = ["dog"]
wnids = ["n02085936"]

[class_names]
n02085620 = "Chihuahua"
"""


def taxonomies() -> str:
    labels_of = {"n02085620": ["animal", "dog"], "n02085936": ["animal", "dog", "puppy"], "n02123045": []}
    wrong = {
        "a later format": ("format = 1", "format = 2"),
        "no format": ("format = 1\n", ""),
        "an unknown field": ("threshold = 0.6", "limit = 0.6"),
        "a threshold of 1": ("threshold = 0.6", "threshold = 1.0"),
        "a parent that is no label": ('parents = ["animal"]', 'parents = ["beast"]'),
        "a circle": ('name = "animal"', 'name = "animal"\nparents = ["puppy"]'),
        "its own parent": ('parents = ["dog"]', 'parents = ["puppy"]'),
        "a label twice": ('name = "puppy"', 'name = "dog"'),
        "an empty name": ('name = "puppy"', 'name = ""'),
        "a name of 201 bytes": ('name = "puppy"', f'name = "{"p" * 201}"'),
        "a name with a control character": ('name = "puppy"', 'name = "pup\\u0007py"'),
        "no TOML": ("[[label]]", "[[label]"),
    }
    changes = {name: (old, new, "TaxonomyInvalid") for name, (old, new) in wrong.items()}
    about = "taxonomy.toml: `labels_of` are all labels that a class counts for, sorted."
    return changed_file(about, TAXONOMY, {"labels_of": labels_of}, changes)


CALIBRATION = """format = 1
model = "mine@1.0.0"
precision = 0.9
photos = 1000
likelihood = 0.8
temperature = 1.25
threshold = 0.4
class_threshold = 0.5

[labels]
"dog" = 0.3

[classes]
"Chihuahua" = 0.6
"""


def calibrations() -> str:
    output: Case = {"model": "mine@1.0.0", "threshold": 0.4, "class_threshold": 0.5}
    output |= {"labels": {"dog": 0.3}, "classes": {"Chihuahua": 0.6}}
    wrong = {
        "a later format": ("format = 1", "format = 2"),
        "a threshold of 0": ('"dog" = 0.3', '"dog" = 0.0'),
        "a threshold of 1": ("threshold = 0.4", "threshold = 1.0"),
        "a threshold that is text": ('"dog" = 0.3', '"dog" = "0.3"'),
        "no model": ('model = "mine@1.0.0"\n', ""),
        "an unknown field": ("photos = 1000", "pictures = 1000"),
        "no TOML": ("[labels]", "[labels"),
    }
    changes = {name: (old, new, "CalibrationInvalid") for name, (old, new) in wrong.items()}
    return changed_file("calibration.toml: thresholds of labels and of classes.", CALIBRATION, output, changes)


def class_tables() -> str:
    table: Case = {"model": "mine@1.0.0", "entries": [["n02085620", "Chihuahua"], [None, ""]], "background": 1}
    table |= {"threshold": 0.5, "taxonomy": None}
    more: Case = {"class_threshold": 0.6, "label_thresholds": {"dog": 0.4}, "crops": ["centre", "whole"]}
    imagenet: Case = {"model": "mine@1.0.0", "entries": [], "background": -1, "threshold": 0.6, "taxonomy": "imagenet"}

    def packed(fields: Case) -> str:
        return base64.b85encode(zlib.compress(msgspec.msgpack.encode(fields), 9)).decode()

    stream = base64.b85decode(packed(table))
    bad = {
        "no zlib stream": base64.b85encode(b"no stream").decode(),
        "cut off": base64.b85encode(stream[:-3]).decode(),
        "another check of the stream": base64.b85encode(stream[:-1] + bytes([stream[-1] ^ 1])).decode(),
        "over a megabyte": base64.b85encode(zlib.compress(bytes((1 << 20) + 1), 9)).decode(),
        "no MessagePack": base64.b85encode(zlib.compress(b"\xc1")).decode(),
        "a threshold of 0": packed({**table, "threshold": 0.0}),
        "no model": packed({key: value for key, value in table.items() if key != "model"}),
        "a taxonomy that nobody has": packed({**table, "taxonomy": "birds"}),
        "a taxonomy of its own that is none": packed({**table, "taxonomy_text": "format = 2"}),
        "a name that turns the line round": packed({**table, "entries": [["n02085620", "a\u202eb"]]}),
        "three crops": packed({**table, "crops": ["centre", "whole", "centre"]}),
    }
    first = [["n01440764", "tench"]]
    cases = [
        case("good", "ok", {"packed": packed(table)}, {**table, "count": 2}),
        case("with thresholds", "ok", {"packed": packed({**table, **more})}, {**table, **more, "count": 2}),
        case("ImageNet's", "ok", {"packed": packed(imagenet)}, {**imagenet, "entries": first, "count": 1000}),
        case("a field of the future", "ok", {"packed": packed({**table, "more": 1})}, {**table, "count": 2}),
    ]
    cases += [case(name, "LabelsInvalid", {"packed": data}) for name, data in bad.items()]
    about = "Classes of models as the setting `classes:…` has them; of 1,000 entries the first is shown, and `count`."
    return file_of(about, cases)


FILES = {
    "ml-class-table": class_tables,
    "ml-pack-manifest": manifests,
    "ml-taxonomy": taxonomies,
    "ml-calibration": calibrations,
}
