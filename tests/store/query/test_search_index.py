"""Tests that a search gives the same with and without the word index, in all texts, on both databases."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.query import functions, searching, words
from moonpalace_addons.store.query.candidates import candidates, tokens
from moonpalace_addons.store.query.condition import condition
from moonpalace_addons.store.query.values import Condition
from moonpalace_addons.store.records import runs
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.upkeep import search_blocks
from moonpalace_addons.store.upkeep.indexing import index
from moonpalace_addons.store.upkeep.search_blocks import BLOCK_SIZE
from moonpalace_addons.wire.word_filter import may_contain, places
from moonpalace_addons.wire.words import WORD
from tests.postgres_server import Databases
from tests.store.query.conftest import RUN, Calls
from tests.word_filters import filtered, result

LETTERS = "aAbBsSkKiI1_"
ODD = "éÉıİſßẞµμÅÅKςσΣιͅᾳǆǅǄﬁﬅﬆ²½Ⅷⅷⓐ٣яЯθϑ\u0308\u200dहि\ud83d\u0000"
EAST = "月之暗面的・アイｱ한국〆㍿𠀀"
SIGNS = '  ,.-"\\\n\t/😀'
CALLS = 6 * BLOCK_SIZE
WORDS = [f"{letter}{number}" for letter in ("cat", "CAFÉ", "猫月", "дом") for number in range(200)]
QUERIES = 50
SEARCHES = 8

type Fill = Callable[[Engine], Calls]


def random_text(chance: random.Random) -> str:
    """Return random letters of one kind or of all kinds."""
    alphabets = (LETTERS + SIGNS, EAST + SIGNS, LETTERS + ODD + SIGNS, LETTERS + ODD + EAST + SIGNS)
    return "".join(chance.choices(chance.choice(alphabets), k=chance.randint(1, 12)))


def random_query(chance: random.Random, texts: list[str]) -> str:
    """Return a part of a text, possibly in another case, or an unrelated text; possibly quoted."""
    text = chance.choice(texts)
    if chance.random() < 0.8:
        start = chance.randrange(len(text))
        text = text[start : start + chance.randint(1, 5)]
    else:
        text = random_text(chance)
    changed = chance.choice((str, str.upper, str.lower, str.title))(text).replace("\0", " ").replace("\ud83d", " ")
    return f'"{changed}" {changed[:1]}' if chance.random() < 0.3 else changed


def written(chance: random.Random, text: str) -> bytes:
    r"""Return a body with a text, optionally with \uXXXX escapes."""
    key = chance.choice(("content", "text", "arguments", "reasoning_content"))
    body = {"messages": [{"role": "user", key: text}, {"content": [{"type": "text", "text": "and so on"}]}]}
    return json.dumps(body, ensure_ascii="\ud83d" in text or chance.random() < 0.3).encode()


type Template = Callable[[str], str]


@pytest.fixture(scope="module")
def template(postgres: Databases) -> Iterator[Template]:
    """Give the name of a PostgreSQL database with a locale and an empty store, to be copied."""
    with ExitStack() as ended:

        @cache
        def made(locale: str) -> str:
            name = ended.enter_context(postgres.database(locale=locale))
            open_store(postgres.url(name), create=True).dispose()
            return name

        yield made


@pytest.fixture(params=["sqlite", "C", "C.UTF-8"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, empty_store: Path) -> Iterator[Engine]:
    """Give an engine on an empty store: SQLite, PostgreSQL without a language, PostgreSQL with all letters."""
    if request.param == "sqlite":
        yield from opened(f"sqlite:///{shutil.copy(empty_store, tmp_path)}")
        return
    postgres: Databases = request.getfixturevalue("postgres")
    template: Template = request.getfixturevalue("template")
    with postgres.database(template(request.param)) as name:
        yield from opened(postgres.url(name))


def opened(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    with writing(engine) as connection:
        runs.begin_run(connection, dict(RUN))
    functions.install(engine)
    yield engine
    engine.dispose()


def ids(engine: Engine, where: Condition) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(select(EXCHANGES.c.id).where(where).order_by(EXCHANGES.c.id)).scalars())


def test_nothing_is_missed(engine: Engine) -> None:
    """If a database finds a word in a text, the text's filter has it, however odd its letters are."""
    chance = random.Random(5)
    calls, texts = Calls(engine), [random_text(chance) for _ in range(300)]
    bodies = [written(chance, text) for text in texts]
    calls.add_bodies((body, None) for body in bodies)
    filters = [filtered(body.decode(), number=0) for body in bodies]
    with engine.connect() as connection:
        any_letters = engine.dialect.name == "sqlite" or search_blocks.knows_letters(connection)
    found = spared = 0
    for query in [random_query(chance, texts) for _ in range(QUERIES)]:
        if not WORD.search(query):
            continue
        given = words.terms(query)
        sought = [places(token) for token in tokens(given, any_letters=any_letters)]
        holding = ids(engine, searching.exact(given, engine.dialect.name))
        kept = {call for call, held in enumerate(filters, start=1) if may_contain(held, 0, sought)}
        missed = [texts[call - 1] for call in holding if call not in kept]
        assert (query, missed) == (query, [])
        found += len(holding)
        spared += len(filters) - len(kept)
    assert found > 150
    assert spared > 5_000


def streamed(chance: random.Random, text: str) -> bytes:
    r"""Return a stream of an unknown face with a text in pieces, optionally escaped, and another text between."""
    units = text.encode("utf-16-le", "surrogatepass")
    characters = [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]
    events = list[bytes]()
    while characters:
        size = chance.randint(1, 3)
        piece, characters = "".join(characters[:size]), characters[size:]
        for place, said in ((0, piece), (1, "other")):
            delta = {"type": "speech.delta", "index": place, "delta": {"text": said}}
            is_half = any("\ud800" <= character <= "\udfff" for character in said)
            event = json.dumps(delta, ensure_ascii=is_half or chance.random() < 0.3)
            events.append(f"event: speech.delta\ndata: {event}\n\n".encode())
    return b"".join(events)


@pytest.mark.parametrize("engine", ["sqlite", "C.UTF-8"], indirect=True)
def test_words_that_are_cut(engine: Engine) -> None:
    """In streams that are not merged a search gives the same as in whole texts, indexed or not."""
    chance = random.Random(29)
    calls = Calls(engine)
    texts = [random_text(chance).replace("\ud83d", "") + chance.choice(WORDS) for _ in range(BLOCK_SIZE)]
    calls.add_bodies(("", {"content": text}) for text in texts)
    calls.add_bodies(("", streamed(chance, text)) for text in texts)
    found = 0
    for number in range(QUERIES):
        if number == QUERIES // 2:
            assert result(index(engine, 0))
            assert result(index(engine, 1))
        query = random_query(chance, texts)
        holding = ids(engine, searching.condition(query, engine)) if WORD.search(query) else []
        whole = [call for call in holding if call <= BLOCK_SIZE]
        assert (query, [call - BLOCK_SIZE for call in holding if call > BLOCK_SIZE]) == (query, whole)
        found += len(whole)
    assert found > 25


def fill(engine: Engine, chance: random.Random) -> Calls:
    """Store calls whose blocks have different words, and index all except the last blocks and one between."""
    calls = Calls(engine)
    some = [chance.sample(WORDS[number // BLOCK_SIZE * 20 :: 7], k=4) for number in range(CALLS)]
    calls.add_bodies((written(chance, " ".join(four)), {"content": f"{four[0][::-1]} ac"}) for four in some)
    for block in (0, 1, 3, 4):
        assert result(index(engine, block))
    return calls


def test_the_same_is_found(engine: Engine) -> None:
    """Searches, their negations and conjunctions give the same calls as reading all bodies."""
    chance = random.Random(23)
    fill(engine, chance)
    shares = list[float]()
    for _ in range(SEARCHES):
        sought = "ac" if not shares else " ".join(chance.sample(WORDS, k=chance.choice((1, 1, 2))))
        given = words.terms(sought)
        scanned = ids(engine, searching.exact(given, engine.dialect.name))
        others = sorted(set(range(1, CALLS + 1)) - set(scanned))
        search = f"text ~ '{sought}'"
        assert ids(engine, condition([search], engine)) == scanned
        assert ids(engine, condition([f"not {search}"], engine)) == others
        assert ids(engine, condition([f"text !~ '{sought}'"], engine)) == others
        assert ids(engine, condition([f"not (id == 7 || {search}) || id == 7"], engine)) == sorted({*others, 7})
        assert ids(engine, condition([f"{search} && id > 99"], engine)) == [call for call in scanned if call > 99]
        shares.append(len(candidates(given, engine).without) / 4)
    assert {0, 1} <= set(shares)
    assert len(set(shares)) > 3


def test_calls_to_come(engine: Engine) -> None:
    """A condition also matches calls that are stored later."""
    calls = fill(engine, random.Random(7))
    where = condition(["text ~ 'quicksilver'"], engine)
    assert ids(engine, where) == []
    calls.add("", {"content": "quicksilver"})
    assert ids(engine, where) == [CALLS + 1]
