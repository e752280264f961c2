"""A bundle is data from elsewhere: whatever it holds, loading ends in a sentence, or with the true bundle."""

import ast
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import consumer
from consumer import bundle
from consumer.bundle import Bundle
from consumer.classifier import Classifier
from consumer.errors import BundleError, SessionFailed
from consumer.window import Window

FILES = ("bundle.json", "golden.json", "model.cpu.onnx", "tokenizer.json")

# Names of files that no bundle may have.
NAMES = (
    *(
        "",
        ".",
        "..",
        "../x.onnx",
        "/x.onnx",
        "/etc/passwd",
        "a/b.onnx",
        "..\\x.onnx",
        "C:\\x.onnx",
        "~root",
        "-rf.onnx",
    ),
    *(".hidden.onnx", "model.cpu.onnx\n", "model.cpu.onnx\0", "mo\ndel.onnx", " model.cpu.onnx", "ä.onnx"),
    *("x" * 300 + ".onnx", "‮xnno.onnx", "${HOME}.onnx", "%2e%2e"),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2, 2**31, 2**63, 2**64, -(2**63), 10**400, -(10**30), 1.0, 1e308, 1e-320]),
    st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([*NAMES, "0" * 12, "0" * 64, "a" * 5000, "\ud800", "\x1b[2J", "cpu", "fp32", "1"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The true bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to tamper with."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture(scope="module")
def many(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that a test tampers with many times."""
    return shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("hostile") / "bundle")


def refusal(directory: Path) -> str | None:
    """What is said against a bundle, None where it is read; a sentence in any case."""
    try:
        bundle.read(directory)
    except BundleError as error:
        said = str(error)
        assert said.isprintable()
        assert len(said) < 1000
        assert str(directory) in said
        return said
    return None


def seal(directory: Path, manifest: bundle.Manifest) -> None:
    """Make hashes and version fit whatever lies in the directory, as who made it would."""
    bundle.seal(
        directory,
        name=manifest.name,
        labels=manifest.labels,
        window=manifest.window,
        variants=manifest.variants,
        training=manifest.training,
    )


def work(directory: Path) -> None:
    """What the consumer does before it takes a message."""
    Classifier(bundle.read(directory), device="cpu", threads=1).prove()


def mutated(document: Any, data: st.DataObject) -> Any:
    """A JSON document with up to three of its parts replaced, left out or added to."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        inner = document
        while True:
            places = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not places:
                break
            place = data.draw(st.sampled_from(places))
            if isinstance(inner[place], dict | list) and data.draw(st.booleans()):
                inner = inner[place]
                continue
            match data.draw(st.sampled_from(["replace", "leave out", "add"])):
                case "replace":
                    inner[place] = data.draw(VALUES)
                case "leave out":
                    del inner[place]
                case "add" if isinstance(inner, dict):
                    inner[data.draw(st.text(max_size=8) | st.sampled_from(NAMES))] = data.draw(VALUES)
                case "add":
                    inner.append(data.draw(VALUES))
            break
    return document


def is_true(read: Bundle, whole: Bundle) -> bool:
    """Whether everything that the hashes vouch for is as it was."""
    said, true = read.manifest, whole.manifest
    return (read.golden, said.version, said.files, said.labels, said.window) == (
        *(whole.golden, true.version, true.files, true.labels, true.window),
    )


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_any_manifest_is_refused_or_true(many: Path, whole: Bundle, data: st.DataObject) -> None:
    """Whatever is changed in bundle.json, it is refused in a sentence, or the bundle is the true one."""
    manifest = mutated(json.loads((whole.directory / bundle.MANIFEST).read_bytes()), data)
    (many / bundle.MANIFEST).write_text(json.dumps(manifest))
    assert refusal(many) is not None or is_true(bundle.read(many), whole)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=40))
def test_any_bytes_are_refused_or_true(many: Path, whole: Bundle, start: int, cut: int, new: bytes) -> None:
    """So it is whatever bytes of bundle.json are cut out and put in."""
    content = (whole.directory / bundle.MANIFEST).read_bytes()
    (many / bundle.MANIFEST).write_bytes(content[:start] + new + content[start + cut :])
    assert refusal(many) is not None or is_true(bundle.read(many), whole)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b'{"format": NaN}',
        b'{"format": 1, "format": 2}',
        b'{"format": ' + b"9" * 10_000 + b"}",
        b'{"format": "' + b"9" * 10_000 + b'\\n"}',
        b'{"format": 1, "x\\n\\u001b[2J' + b"x" * 10_000 + b'": 0}',
        b'{"format": 1, "training": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format": 1, "training": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
        b'{"format": ' + b'{"a":' * 1022 + b"1" + b"}" * 1023,
        b"\x00" * 1000,
        b"true",
    ],
)
def test_hostile_manifest_is_refused(content: bytes, copied: Path) -> None:
    """Nesting, length, encoding and control characters of bundle.json end in one printable sentence."""
    (copied / bundle.MANIFEST).write_bytes(content)
    assert refusal(copied)


def test_last_of_doubled_members_counts(copied: Path, whole: Bundle) -> None:
    """Where a member occurs twice, the hashes are checked against the same one that is used."""
    text = (copied / bundle.MANIFEST).read_text()
    (copied / bundle.MANIFEST).write_text(text.replace("{", '{"labels": ["x", "y"], "max_length": 3, ', 1))
    assert refusal(copied) is None
    assert is_true(bundle.read(copied), whole)
    (copied / bundle.MANIFEST).write_text(text[: text.rindex("}")] + ', "labels": ["x", "y"]}')
    assert "was changed after export" in (refusal(copied) or "")


@pytest.mark.parametrize("name", NAMES)
def test_odd_file_names_are_refused(name: str, copied: Path) -> None:
    """A name that is not plain is refused as a model's, and as one of the hashed files."""
    manifest = json.loads((copied / bundle.MANIFEST).read_text())
    for place in ("variants", "files"):
        changed = copy.deepcopy(manifest)
        if place == "variants":
            changed["variants"]["cpu"]["file"] = name
        else:
            changed["files"][name] = "0" * 64
        (copied / bundle.MANIFEST).write_text(json.dumps(changed))
        assert f"bundle.json: {place}." in (refusal(copied) or "")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("labels", ["1", "2", "3", "4", "4"]),
        ("labels", ["1", "2", "3", "4", ""]),
        ("labels", ["1", "2", "3", "4", "5\nlevel=error"]),
        ("labels", ["1", "2", "3", "4", "x" * 201]),
        ("labels", [str(label) for label in range(1001)]),
        ("name", ""),
        ("name", "stars\n"),
        ("name", "x" * 201),
        ("max_length", 8193),
        ("max_length", 2),
        ("tail", -1),
    ],
)
def test_values_that_break_messages_are_refused(member: str, value: object, copied: Path) -> None:
    """Labels, name and max_length go into messages, logs and memory: they are plain and bounded."""
    manifest = json.loads((copied / bundle.MANIFEST).read_text()) | {member: value}
    manifest["version"] = bundle.version(
        manifest["files"], manifest["labels"], Window(manifest["max_length"], manifest["tail"])
    )
    (copied / bundle.MANIFEST).write_text(json.dumps(manifest))
    assert f"bundle.json: {member}" in (refusal(copied) or "")


def test_such_a_bundle_is_not_sealed(copied: Path, whole: Bundle) -> None:
    """What would be refused is not written in the first place."""
    with pytest.raises(BundleError, match=r"cannot hold this: labels: .*occurs twice"):
        seal(copied, whole.manifest.model_copy(update={"labels": ("1", "1")}))


@pytest.mark.parametrize("name", FILES)
def test_link_out_of_the_bundle_is_refused(name: str, copied: Path) -> None:
    """A link to a file outside is refused, even where that file has the right content."""
    (copied / name).rename(copied.parent / name)
    for target in (f"../{name}", copied.parent / name):
        (copied / name).unlink(missing_ok=True)
        (copied / name).symlink_to(target)
        assert f"{name} leads out of the bundle" in (refusal(copied) or "")


def test_link_to_a_directory_outside_is_refused(copied: Path) -> None:
    """Nor does a link on the way there help."""
    outside = shutil.copytree(copied, copied.parent / "outside")
    (copied / "golden.json").unlink()
    (copied / "..data").symlink_to(outside)
    (copied / "golden.json").symlink_to("..data/golden.json")
    assert "golden.json leads out of the bundle" in (refusal(copied) or "")


def test_links_inside_are_followed(copied: Path, whole: Bundle, tmp_path: Path) -> None:
    """A bundle as Kubernetes lays a volume, by links inside it, is read, and through a link to it as well."""
    version = copied / "..2026_01_01"
    version.mkdir()
    for name in (*FILES, "model.cuda.onnx"):
        (copied / name).rename(version / name)
        (copied / name).symlink_to(f"..data/{name}")
    (copied / "..data").symlink_to(version.name)
    (tmp_path / "current").symlink_to(copied)
    for directory in (copied, tmp_path / "current"):
        assert is_true(bundle.read(directory), whole)
        work(directory)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [_pipe, _loop, Path.mkdir])
@pytest.mark.parametrize("name", FILES)
def test_no_regular_file_is_refused(make: Callable[[Path], None], name: str, copied: Path) -> None:
    """A pipe, which would be waited for, a link to itself and a directory are refused."""
    (copied / name).unlink()
    make(copied / name)
    assert name in (refusal(copied) or "")


@pytest.mark.parametrize(
    ("name", "size"),
    [("bundle.json", 2**30), ("golden.json", 2**30), ("tokenizer.json", 2**30), ("model.cpu.onnx", 2**32)],
)
def test_huge_file_is_not_read(name: str, size: int, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than any such file is refused by its size."""
    os.truncate(copied / name, size)
    monkeypatch.setattr(bundle.hashlib, "file_digest", lambda file, _: _not_read(Path(file.name), name))
    assert f"{name} has {size} bytes" in (refusal(copied) or "")


def _not_read(path: Path, name: str) -> Any:
    """A hash that fits, of any file but one."""
    assert path.name != name

    class Hash:
        def hexdigest(self) -> str:
            return str(json.loads((path.parent / bundle.MANIFEST).read_text())["files"][path.name])

    return Hash()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_any_golden_comments_end_in_a_sentence(many: Path, whole: Bundle, data: st.DataObject) -> None:
    """Whatever golden.json says, under a hash that fits, is refused, or it is what the model gives."""
    golden = mutated(json.loads((whole.directory / bundle.GOLDEN).read_bytes())[:3], data)
    (many / bundle.GOLDEN).write_text(json.dumps(golden))
    seal(many, whole.manifest)
    ends_in_a_sentence(many)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_any_tokenizer_is_refused_or_works(many: Path, whole: Bundle, data: st.DataObject) -> None:
    """Whatever tokenizer.json says, under a hash that fits, ends in a sentence, or passes the proof."""
    (many / bundle.GOLDEN).write_bytes((whole.directory / bundle.GOLDEN).read_bytes())
    tokenizer = mutated(json.loads((whole.directory / bundle.TOKENIZER).read_bytes()), data)
    (many / bundle.TOKENIZER).write_text(json.dumps(tokenizer))
    seal(many, whole.manifest)
    ends_in_a_sentence(many)


def ends_in_a_sentence(directory: Path) -> None:
    """Start as the consumer does: nothing but an error that the consumer explains may come of it."""
    said = ""
    try:
        work(directory)
    except (BundleError, SessionFailed) as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        {
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": "(a|a)*$"},
                "behavior": "Isolated",
                "invert": False,
            }
        },
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            }
        },
        {"model": {"type": "Unigram", "unk_id": None, "vocab": []}},
        {
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {"[UNK]": 2**32 - 1},
            }
        },
    ],
    ids=[
        "panics when loaded",
        "panics at a text",
        "backtracks",
        "lacks a token",
        "fails at a text",
        "huge ids",
    ],
)
def test_tokenizer_that_panics_is_refused(part: dict[str, Any], copied: Path, whole: Bundle) -> None:
    """A tokenizer whose Rust panics, or gives tokens that the model has not, ends in a sentence."""
    path = copied / bundle.TOKENIZER
    path.write_text(json.dumps(json.loads(path.read_text()) | part))
    seal(copied, whole.manifest)
    with pytest.raises((BundleError, SessionFailed)) as refused:
        work(copied)
    assert str(refused.value).isprintable()


def test_what_libraries_quote_stays_on_the_line(copied: Path, whole: Bundle) -> None:
    """Words of the bundle that the tokenizer or ONNX Runtime repeats are cut, and made printable."""
    hostile = "\n\x1b[2Jlevel=error " + "x" * 10_000
    tokenizer = json.loads((copied / bundle.TOKENIZER).read_text())
    (copied / bundle.TOKENIZER).write_text(json.dumps(tokenizer | {"version": hostile}))
    seal(copied, whole.manifest)
    with pytest.raises(BundleError, match="cannot load") as refused:
        work(copied)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000

    (copied / bundle.TOKENIZER).write_text(json.dumps(tokenizer))
    remodelled(copied, whole.manifest, with_node(op_type=hostile, domain="evil.example"))
    with pytest.raises(BundleError, match="cannot load") as refused:
        work(copied)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


def test_nested_tokenizer_is_refused(copied: Path, whole: Bundle) -> None:
    """Nesting without end is refused as what it is."""
    (copied / bundle.TOKENIZER).write_text('{"normalizer": ' + '{"normalizers": [' * 100_000)
    seal(copied, whole.manifest)
    with pytest.raises(BundleError, match=r"cannot load \S+tokenizer\.json: recursion limit"):
        work(copied)


Change = Callable[[onnx.ModelProto], object]


def remodelled(directory: Path, manifest: bundle.Manifest, change: Change) -> Path:
    """The bundle with another model, under hashes that fit."""
    path = directory / "model.cpu.onnx"
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    seal(directory, manifest)
    return directory


def with_node(**node: Any) -> Change:
    """Put an operator before the model's output."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "before"
        made = helper.make_node(inputs=["before"], outputs=["probabilities"], **node)
        model.graph.node.append(made)
        model.opset_import.append(helper.make_opsetid(node["domain"], 1))

    return change


@pytest.mark.parametrize(
    "node",
    [
        {"op_type": "Run", "domain": "evil.example", "library": "/tmp/evil.so"},
        {"op_type": "PyOp", "domain": "pyopmulti_1", "module": "os", "class_name": "system"},
        {"op_type": "PythonOp", "domain": "com.microsoft", "func_name": "os.system"},
        {"op_type": "BertTokenizer", "domain": "ai.onnx.contrib"},
        {"op_type": "ATen", "domain": "org.pytorch.aten", "operator": "add"},
        {
            "op_type": "EPContext",
            "domain": "com.microsoft",
            "embed_mode": 0,
            "ep_cache_context": "/etc/passwd",
        },
    ],
    ids=lambda node: node["op_type"],
)
def test_custom_operator_is_refused(node: dict[str, Any], copied: Path, whole: Bundle) -> None:
    """A model with an operator that is not ONNX Runtime's own is refused, and no library is loaded for it."""
    remodelled(copied, whole.manifest, with_node(**node))
    with pytest.raises(BundleError, match=r"ONNX Runtime cannot load \S+model\.cpu\.onnx"):
        work(copied)


def with_outside_weights(location: str) -> Change:
    """Move a weight of the model into another file."""

    def change(model: onnx.ModelProto) -> None:
        weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        length = len(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value

    return change


@pytest.mark.parametrize(
    "location", ["weights", "deeper/weights", "../weights", "{}/weights", "link", "model.cpu.onnx"]
)
def test_weights_without_a_hash_are_refused(location: str, copied: Path, whole: Bundle) -> None:
    """A model with weights in another file, where they could be changed unseen, is refused."""
    weights = np.zeros(2**20, dtype=np.float32).tobytes()
    (copied / "deeper").mkdir()
    for directory in (copied.parent, copied, copied / "deeper"):
        (directory / "weights").write_bytes(weights)
    (copied / "link").symlink_to("../weights")
    path = copied / "model.cpu.onnx"
    model = onnx.load(path)
    with_outside_weights(location.format(copied.parent))(model)
    path.write_bytes(model.SerializeToString())
    files = whole.manifest.files | {"model.cpu.onnx": hashlib.sha256(path.read_bytes()).hexdigest()}
    version = bundle.version(files, whole.manifest.labels, whole.manifest.window)
    manifest = whole.manifest.model_copy(update={"files": files, "version": version})
    (copied / bundle.MANIFEST).write_text(manifest.model_dump_json())
    bundle.read(copied)
    with pytest.raises(
        BundleError,
        match=r"ONNX Runtime cannot load \S+model\.cpu\.onnx: .*(External|external) ?(data|Tensor)",
    ):
        work(copied)


def rename_input(model: onnx.ModelProto) -> None:
    """Call an input otherwise."""
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "input_ids":
                node.input[index] = "other"
    model.graph.input[0].name = "other"


def another_output(model: onnx.ModelProto) -> None:
    """Give the logits instead."""
    model.graph.node[-1].output[0] = "logits"
    model.graph.output[0].name = "logits"


def fewer_labels(model: onnx.ModelProto) -> None:
    """Give four probabilities."""
    model.graph.node[-1].output[0] = "five"
    for name, values in (("starts", [0]), ("ends", [4]), ("axes", [1])):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], values))
    model.graph.node.append(helper.make_node("Slice", ["five", "starts", "ends", "axes"], ["probabilities"]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4


@pytest.mark.parametrize("change", [rename_input, another_output, fewer_labels])
def test_model_of_another_shape_is_refused(change: Change, copied: Path, whole: Bundle) -> None:
    """A model with other inputs, other outputs or another number of labels is refused when it is loaded."""
    remodelled(copied, whole.manifest, change)
    with pytest.raises(BundleError, match=r"and not the probabilities of 5 labels from input_ids"):
        work(copied)


@pytest.mark.parametrize("seed", range(40))
def test_garbled_model_ends_in_a_sentence(seed: int, copied: Path, whole: Bundle) -> None:
    """A model with bytes changed at random, under a hash that fits, is refused, or passes the proof."""
    draw = random.Random(seed)
    path = copied / "model.cpu.onnx"
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 10, 100))):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)
    seal(copied, whole.manifest)
    ends_in_a_sentence(copied)


PROGRAM = """
import sys
from pathlib import Path
from consumer import bundle
from consumer.classifier import Classifier

forbidden = ("pickle.", "marshal.load", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork",
             "socket.", "ctypes.dlopen", "urllib.", "exec")

def watch(event, arguments):
    if event.startswith(forbidden):
        print(event, arguments, flush=True)

for round in range(2):  # the first may import what it needs
    if round:
        sys.addaudithook(watch)
    classifier = Classifier(bundle.read(Path(sys.argv[1])), device="cpu", threads=1)
    classifier.prove()
    classifier.classify(["late"])
"""


def test_loading_runs_nothing(tiny_bundle: Path) -> None:
    """Loading a bundle unpickles nothing, runs nothing, loads no library and opens no connection."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_bundle)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == ""


def sources() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of every module of the consumer."""
    for path in Path(consumer.__path__[0]).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def test_consumer_has_nothing_to_run_data_with() -> None:
    """No module of the consumer imports what unpickles, and none calls what runs data or loads operators."""
    modules = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "torch"}
    calls = {"eval", "exec", "compile", "register_custom_ops_library", "read_pickle", "__import__"}
    for path, node in sources():
        if isinstance(node, ast.Import):
            assert not modules & {alias.name.partition(".")[0] for alias in node.names}, path
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in modules, path
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in calls or (name == "compile" and ast.unparse(node.func) == "re.compile"), path
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}, path


@pytest.mark.parametrize("what", ["escapes", "nests", "altered", "custom operator"])
def test_consumer_ends_with_code_3_and_a_line(what: str, copied: Path, whole: Bundle) -> None:
    """The real consumer ends with code 3, one line and no traceback."""
    if what == "escapes":
        (copied / bundle.GOLDEN).unlink()
        (copied / bundle.GOLDEN).symlink_to("/etc/passwd")
    elif what == "nests":
        (copied / bundle.MANIFEST).write_text("[" * 500_000)
    elif what == "altered":
        (copied / bundle.TOKENIZER).write_text("{}")
    else:
        remodelled(copied, whole.manifest, with_node(op_type="Run", domain="evil.example"))
    command = [
        sys.executable,
        "-m",
        "consumer",
        "--bundle",
        str(copied),
        "--bootstrap-servers",
        "127.0.0.1:1",
    ]
    command += [
        "--metrics-host",
        "127.0.0.1",
        "--metrics-port",
        "0",
        "--device",
        "cpu",
        "--log-level",
        "error",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (3, "")
    (line,) = ran.stderr.splitlines()
    assert str(copied) in json.loads(line)["message"]
