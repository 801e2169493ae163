"""The registry of apps on real folders: starts, crashes between two renames, broken bundles."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localsrv.base.errors import ConfigError, Conflict, NotFound
from localsrv.services import apps as module
from localsrv.services.apps import KIT_FOLDER, Apps
from localsrv.services.grants import Grants
from localsrv.store.system import System

MANIFEST = 'id = "shop"\ntitle = "Shop"\n[collections.items.fields]\nname = "text"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "ui").mkdir(parents=True)
    (folder / "app.toml").write_text(MANIFEST)
    (folder / "ui" / "index.html").write_text("first")
    (folder / "secret.txt").write_text("not copied")
    return folder


class Home:
    """A data folder that registries are started on, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def start(self) -> Apps:
        self.system = await System.open(self.path / "system.db")
        self.apps = await Apps.start(self.system, self.path / "apps", await Grants.open(self.system, "owner"))
        return self.apps

    async def stop(self) -> None:
        await self.apps.close()
        await self.system.close()


@pytest.fixture
def data(tmp_path: Path) -> Home:
    path = tmp_path / "data"
    path.mkdir()
    return Home(path)


async def test_default_always_exists(data: Home) -> None:
    for _ in range(2):
        apps = await data.start()
        assert apps.ids == ["default"]
        assert (await apps.open("default")).database.collections == {}
        await data.stop()


async def test_nothing_is_opened_before_it_is_needed(data: Home) -> None:
    apps = await data.start()
    assert apps.opened == {}
    first, second = await asyncio.gather(apps.open("default"), apps.open("default"))
    assert first is second
    await data.stop()


async def test_an_app_outlives_the_process(data: Home, source: Path) -> None:
    apps = await data.start()
    before = apps.generation
    change = await apps.add(source)
    assert (change.id, change.created, change.texts[0]) == ("shop", True, "created")
    assert apps.generation > before
    await data.stop()
    apps = await data.start()
    assert apps.ids == ["default", "shop"]
    hosted = apps.hosted("shop")
    assert hosted.ui is not None
    assert (hosted.ui / "index.html").read_text() == "first"
    assert not (data.path / "apps" / "shop" / "bundle" / "secret.txt").exists()
    assert list((await apps.open("shop")).database.collections) == ["items"]
    assert await apps.size_bytes("shop") > 0
    await data.stop()


async def test_the_kit_comes_with_an_app_that_asks_for_it(data: Home, source: Path) -> None:
    apps = await data.start()
    await apps.add(source)
    kit = data.path / "apps" / "shop" / "bundle" / "ui" / "kit"
    assert not kit.exists()
    manifest = source / "app.toml"
    manifest.write_text(manifest.read_text() + "[ui]\nkit = true\n")
    await apps.add(source)
    assert {f.name: f.read_bytes() for f in kit.iterdir()} == {
        f.name: f.read_bytes() for f in KIT_FOLDER.iterdir()
    }
    assert (kit / "session.js").is_file()
    (source / "ui" / "kit").mkdir()
    with pytest.raises(ConfigError, match=r"`kit` in app\.toml asks"):
        await apps.add(source)
    assert (kit / "session.js").is_file()
    assert sorted(p.name for p in kit.parents[2].iterdir() if "bundle" in p.name) == ["bundle"]
    await data.stop()


async def test_a_crash_between_the_renames_is_put_right(data: Home, source: Path) -> None:
    apps = await data.start()
    await apps.add(source)
    await data.stop()
    home = data.path / "apps" / "shop"
    (home / "bundle").rename(home / "bundle.old")
    (home / "bundle.new-1234").mkdir()
    apps = await data.start()
    hosted = apps.hosted("shop")
    assert hosted.ui is not None
    assert (hosted.ui / "index.html").read_text() == "first"
    assert sorted(p.name for p in home.iterdir() if "bundle" in p.name) == ["bundle"]
    await data.stop()


async def test_a_crash_after_the_renames_keeps_the_new(data: Home, source: Path) -> None:
    apps = await data.start()
    await apps.add(source)
    await data.stop()
    home = data.path / "apps" / "shop"
    (home / "bundle.old" / "ui").mkdir(parents=True)
    apps = await data.start()
    hosted = apps.hosted("shop")
    assert hosted.ui is not None
    assert (hosted.ui / "index.html").exists()
    assert not (home / "bundle.old").exists()
    await data.stop()


async def test_a_broken_bundle_stops_nothing(data: Home, source: Path) -> None:
    apps = await data.start()
    await apps.add(source)
    await data.stop()
    (data.path / "apps" / "shop" / "bundle" / "app.toml").write_text("nonsense")
    apps = await data.start()
    assert apps.hosted("shop").ui is None
    assert list((await apps.open("shop")).database.collections) == ["items"]
    await data.stop()


async def test_a_copy_that_fails_leaves_the_old_pages(
    data: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = await data.start()
    await apps.add(source)
    (source / "ui" / "index.html").write_text("second")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copytree", fail)
    with pytest.raises(module.StorageError):
        await apps.add(source)
    hosted = apps.hosted("shop")
    assert hosted.ui is not None
    assert (hosted.ui / "index.html").read_text() == "first"
    assert not list((data.path / "apps" / "shop").glob("bundle.*"))
    await data.stop()


async def test_two_updates_at_once_take_turns(data: Home, source: Path) -> None:
    apps = await data.start()
    done = await asyncio.gather(*(apps.add(source) for _ in range(4)))
    assert [c.created for c in done].count(True) == 1
    await data.stop()


async def test_what_is_no_app(data: Home, tmp_path: Path) -> None:
    apps = await data.start()
    with pytest.raises(ConfigError) as caught:
        await apps.add(tmp_path)
    assert caught.value.code == "manifest-missing"
    (tmp_path / "app.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(ConfigError):
        await apps.add(tmp_path)
    with pytest.raises(NotFound):
        await apps.open("nothing")
    with pytest.raises(NotFound):
        await apps.remove("nothing", delete_data=True)
    with pytest.raises(Conflict):
        await apps.remove("default", delete_data=True)
    assert apps.ids == ["default"]
    await data.stop()
