"""Texts to probabilities."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

from consumer import bundle
from consumer.bundle import Bundle, GoldenComment
from consumer.classifier import Classifier
from consumer.errors import BundleError, DeviceError, GoldenMismatch, SessionFailed
from tests import faults
from tests.conftest import LABELS, comments
from tests.faults import FaultySession

# Sums in another order move the last digits of fp32.
SAME = 1e-5


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path) -> Bundle:
    """The tiny bundle."""
    return bundle.read(tiny_bundle)


@pytest.fixture(scope="module")
def classifier(whole: Bundle) -> Classifier:
    """The tiny bundle on the CPU."""
    return Classifier(whole, device="cpu", threads=1)


def test_batch_answers_as_singles_do(classifier: Classifier) -> None:
    """Each text of a batch gets, in its place, the probabilities and the label that it gets alone."""
    texts = comments(120, seed=3)

    together = classifier.classify(texts)
    alone = np.concatenate([classifier.classify([text]) for text in texts])

    np.testing.assert_allclose(together, alone, atol=SAME)
    assert together.argmax(axis=1).tolist() == alone.argmax(axis=1).tolist()


def test_answer_does_not_depend_on_the_neighbours(classifier: Classifier) -> None:
    """A text keeps its answer whichever and however long the other texts of its batch are."""
    text = "late parcel, money back please"
    alone = classifier.classify([text])[0]

    for seed in range(5):
        np.testing.assert_allclose(
            classifier.classify([*comments(40, seed=seed), text])[-1], alone, atol=SAME
        )


@pytest.mark.parametrize("token_budget", [1, 64, 100_000])
def test_answer_does_not_depend_on_the_micro_batches(
    whole: Bundle, classifier: Classifier, token_budget: int
) -> None:
    """Micro-batches of one text, of a few and of all give the same answers."""
    texts = comments(60, seed=4)
    other = Classifier(whole, device="cpu", token_budget=token_budget, threads=1)

    np.testing.assert_allclose(other.classify(texts), classifier.classify(texts), atol=SAME)


@pytest.mark.parametrize("texts", [1, 2, 3, 60])
def test_answer_does_not_depend_on_the_threads(whole: Bundle, classifier: Classifier, texts: int) -> None:
    """With three threads a text has the answer, and the place, that it has with one."""
    drawn = comments(texts, seed=4)

    answers = Classifier(whole, device="cpu", token_budget=64, threads=3).classify(drawn)

    np.testing.assert_allclose(answers, classifier.classify(drawn), atol=SAME)


@pytest.mark.parametrize(("spread", "micro_batches"), [(True, 4), (False, 1)])
def test_small_batch_has_work_for_every_thread(whole: Bundle, spread: bool, micro_batches: int) -> None:
    """Four texts that fit into one micro-batch make one for each thread, unless asked to stay together."""
    four = Classifier(whole, device="cpu", token_budget=4096, threads=4)
    session = FaultySession(four)

    four.classify(["late again"] * 4, spread=spread)

    assert session.runs == micro_batches


def test_threads_fail_as_one_does(whole: Bundle, classifier: Classifier) -> None:
    """Out of memory on several threads at once changes no answer, and the text that fails alone has none."""
    texts = [text for text in comments(60, seed=6) if "kettle" not in text]
    texts[20:20] = ["the kettle is late"]
    three = Classifier(whole, device="cpu", token_budget=4 * whole.manifest.max_length, threads=3)
    kettle = containing(three, "kettle")
    FaultySession(three, fails=lambda input_ids: more_than(70)(input_ids) or kettle(input_ids))

    answers = three.classify(texts)

    assert np.isnan(answers).all(axis=1).nonzero()[0].tolist() == [20]
    expected = np.delete(classifier.classify(texts), 20, axis=0)
    np.testing.assert_allclose(np.delete(answers, 20, axis=0), expected, atol=SAME)


def test_rows_are_distributions_over_the_labels(classifier: Classifier) -> None:
    """There is a row for each text and a column for each label, and a row sums to 1."""
    probabilities = classifier.classify(["late", "?!", "\u0007", "x" * 5000, "great " * 500])

    assert probabilities.shape == (5, len(LABELS))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=SAME)


def test_golden_comments_prove_the_device(classifier: Classifier) -> None:
    """A device that computes as the bundle states passes, and its rate is known from then on."""
    classifier.prove()

    assert classifier.rate > 0


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_one_wrong_golden_probability_is_refused(whole: Bundle, wrong: float) -> None:
    """One golden probability that differs, or is no number, refuses the device and names the comment."""
    golden = list(whole.golden)
    first, *others = golden[7].probabilities
    golden[7] = GoldenComment(text=golden[7].text, probabilities=(abs(first - wrong), *others))

    with pytest.raises(GoldenMismatch, match=r"1 of 48 golden comments.*: number 7"):
        Classifier(replace(whole, golden=tuple(golden)), device="cpu", threads=1).prove()


def test_device_without_a_variant_is_refused(whole: Bundle) -> None:
    """A bundle without a variant for the device asked for says which it has."""
    variants = {"cuda": whole.manifest.variants["cuda"]}
    only_cuda = replace(whole, manifest=whole.manifest.model_copy(update={"variants": variants}))

    with pytest.raises(DeviceError, match="no variant for cpu, only for cuda"):
        Classifier(only_cuda, device="cpu")


def test_model_that_is_no_model_is_refused(whole: Bundle, tmp_path: Path) -> None:
    """A file that ONNX Runtime cannot load is a broken bundle, not a traceback."""
    (tmp_path / "tokenizer.json").write_bytes(whole.path("tokenizer.json").read_bytes())
    (tmp_path / "model.cpu.onnx").write_bytes(b"not a model")

    with pytest.raises(BundleError, match=r"cannot load \S+model\.cpu\.onnx"):
        Classifier(replace(whole, directory=tmp_path), device="cpu")


@pytest.fixture
def own(whole: Bundle) -> Classifier:
    """The tiny bundle on the CPU, with a session to break, and a budget of four long texts."""
    return Classifier(whole, device="cpu", token_budget=4 * whole.manifest.max_length, threads=1)


def more_than(tokens: int) -> Callable[[NDArray[np.int32]], bool]:
    """Whether there are more padded tokens than that at once."""
    return lambda input_ids: bool(input_ids.size > tokens)


def containing(classifier: Classifier, word: str) -> Callable[[NDArray[np.int32]], bool]:
    """Whether a word is among the texts."""
    token = classifier._tokenizer._tokenizer.token_to_id(word)
    assert token is not None
    return lambda input_ids: bool((input_ids == token).any())


def test_out_of_memory_changes_no_answer(own: Classifier, classifier: Classifier) -> None:
    """Micro-batches that do not fit are halved until they do, and each text gets its own answer."""
    texts = comments(60, seed=6)
    session = FaultySession(own, fails=more_than(70))

    np.testing.assert_allclose(own.classify(texts), classifier.classify(texts), atol=SAME)

    assert session.failures > 0


def test_out_of_memory_is_met_once(own: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    """What did not fit is not tried again: the budget stays lower, and the log says so once."""
    texts = comments(60, seed=6)
    session = FaultySession(own, fails=more_than(130))
    own.classify(texts)
    failures = session.failures

    for _ in range(3):
        own.classify(texts)

    assert session.failures == failures
    [warning] = [entry.getMessage() for entry in caplog.records]
    assert "works with 128" in warning
    assert "Failed to allocate memory" in warning


def test_out_of_memory_at_the_start(whole: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that does not fit when the session warms up is lowered there, and the proof holds."""
    real = Classifier._run

    def small(self: Classifier, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]) -> Any:
        if input_ids.size > 1000:
            raise faults.RuntimeException(faults.OUT_OF_MEMORY)
        return real(self, input_ids, attention_mask)

    monkeypatch.setattr(Classifier, "_run", small)

    started = Classifier(whole, device="cpu", token_budget=100_000, threads=1)

    assert 500 < started._token_budget <= 1000
    started.prove()


@pytest.mark.parametrize("fault", ["fails", "no_numbers"])
def test_text_that_fails_alone_has_no_answer(own: Classifier, classifier: Classifier, fault: str) -> None:
    """Only the text that the model fails at, or gives a NaN, gets none: a row of NaN among the others."""
    texts = [text for text in comments(60, seed=7) if "kettle" not in text]
    texts[20:20] = ["the kettle is late"]
    FaultySession(own, **{fault: containing(own, "kettle")})

    answers = own.classify(texts)

    assert np.isnan(answers).all(axis=1).nonzero()[0].tolist() == [20]
    others = [index for index in range(len(texts)) if index != 20]
    np.testing.assert_allclose(answers[others], classifier.classify(texts)[others], atol=SAME)


def test_text_that_fails_does_not_lower_the_budget(own: Classifier) -> None:
    """Nobody can slow the consumer down for good with a text that the model fails at."""
    budget = own._token_budget
    FaultySession(own, fails=containing(own, "kettle"))

    own.classify([*comments(30, seed=8), "kettle"])

    assert own._token_budget == budget


def test_text_beyond_the_embeddings(tiny_bundle: Path, tmp_path: Path) -> None:
    """A text at which ONNX Runtime itself fails has no answer, and its neighbours have theirs."""
    fatal = bundle.read(faults.with_a_word_it_fails_at(tiny_bundle, tmp_path / "bundle"))
    fails_at_a_word = Classifier(fatal, device="cpu", threads=1)
    fails_at_a_word.prove()

    answers = fails_at_a_word.classify(["late", f"late {faults.FATAL}", "great"])

    assert np.isnan(answers).any(axis=1).tolist() == [False, True, False]


def test_session_that_fails_at_everything(own: Classifier) -> None:
    """When a golden comment fails too it is no text's fault: the error says what ONNX Runtime said."""
    FaultySession(own, fails=lambda _: True)

    with pytest.raises(SessionFailed, match="Failed to allocate memory") as caught:
        own.classify(["abracadabra", "late again"])

    assert "abracadabra" not in str(caught.value)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_session_that_answers_wrongly_does_not_work(own: Classifier, wrong: float) -> None:
    """A session that gives a golden comment another answer than at the start, or NaN, is broken."""
    own.require_working()
    real = own._session

    class Wrong:
        def run(self, *arguments: Any) -> Any:
            [probabilities] = real.run(*arguments)
            return [np.abs(probabilities - np.float32(wrong))]

    own._session = Wrong()

    with pytest.raises(SessionFailed, match="instead of"):
        own.require_working()


def test_proof_refuses_a_session_that_gives_no_numbers(own: Classifier) -> None:
    """One golden comment without numbers is enough to refuse the device."""
    [first, *_] = own._bundle.golden
    ids = own._tokenizer.tokens([first.text])[0].tolist()
    FaultySession(own, no_numbers=lambda of_text: of_text[: len(ids)].tolist() == ids)

    with pytest.raises(GoldenMismatch, match="number 0"):
        own.prove()


def test_text_that_the_tokenizer_fails_at(own: Classifier, classifier: Classifier) -> None:
    """A text that cannot be tokenised has no answer, and its neighbours have theirs."""
    texts = comments(300, seed=9)

    answers = own.classify([*texts[:200], "half a pair: \ud83d", *texts[200:]])

    assert np.isnan(answers).any(axis=1).nonzero()[0].tolist() == [200]
    np.testing.assert_allclose(np.delete(answers, 200, axis=0), classifier.classify(texts), atol=SAME)


def test_nothing_of_a_text_is_logged(own: Classifier, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails, no log line holds a word of the text."""
    caplog.set_level(logging.DEBUG)
    FaultySession(own, fails=containing(own, "kettle"))

    own.classify(["kettle abracadabra", "abracadabra \ud83d", "late"])

    assert [record.name for record in caplog.records if record.name.startswith("consumer")] == [
        "consumer.tokenising",
        "consumer.classifier",
    ]
    assert "abracadabra" not in caplog.text


@pytest.mark.parametrize("filler", ["late ", "late, great! ", "kettle\n\n", "\u592a"])
def test_middle_of_a_long_text_changes_nothing(classifier: Classifier, filler: str) -> None:
    """Where beginning and end fill the window, neither what is between them nor white space counts."""
    part = filler * (classifier.characters // len(filler))

    answers = classifier.classify(
        [f"{part} {part}", f"{part} {'broken awful refund ' * 5000} {part}", f"{' ' * 9999}{part} {part}\n\n"]
    )

    np.testing.assert_allclose(answers, np.repeat(answers[:1], 3, axis=0), atol=SAME)


def test_cut_changes_no_answer_of_a_text_that_fills_the_model(whole: Bundle, classifier: Classifier) -> None:
    """Long texts get the answer that they get uncut."""
    uncut = Classifier(whole, device="cpu", threads=1)
    uncut._tokenizer.characters = 10**6
    texts = [" ".join(comments(40, seed=seed)) for seed in range(20)]
    assert min(map(len, texts)) > classifier.characters

    np.testing.assert_allclose(classifier.classify(texts), uncut.classify(texts), atol=SAME)


def test_device_that_fails_is_not_replaced_by_another(whole: Bundle) -> None:
    """When the execution provider fails, the session has failed: ONNX Runtime does not take another one."""
    classifier = Classifier(whole, device="cpu", threads=1)
    session = classifier._session

    class Failing:
        inner = session._sess

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def run(self, *_: Any) -> None:
            raise EPFail("injected")

    session._sess = Failing()

    with pytest.raises(SessionFailed, match="EPFail"):
        classifier.classify(["late"])


def test_model_that_fails_at_one_token_is_used_all_the_same(
    whole: Bundle, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be measured at the start stops no start: longer texts get their answers."""
    run = Classifier._run

    def no_single_token(
        self: Classifier, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        if input_ids.shape[1] == 1:
            raise RuntimeError("a text of one token")
        return run(self, input_ids, attention_mask)

    monkeypatch.setattr(Classifier, "_run", no_single_token)
    texts = comments(30, seed=2)

    answers = Classifier(whole, device="cpu", threads=1).classify(texts)

    np.testing.assert_allclose(answers, classifier.classify(texts), atol=SAME)
