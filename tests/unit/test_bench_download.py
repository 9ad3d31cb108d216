"""The parts of the download benchmark that only compute."""

import dataclasses
import hashlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.download import arguments
from bench.download_figures import comparison, order, ratios, spread, table
from bench.download_run import Run
from bench.download_ways import WAYS
from bench.s3_answers import StoredFile, etag, listing, location, stored_files
from bench.static_s3 import parse_request

MIB = 1024 * 1024
NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def run(way: str, work: float, cpu: float = 1.0) -> Run:
    return Run(way, work + 0.5, work, cpu, resident=50 * MIB, written=0, requests=3, received=0, other=0.0)


def one_round(**works: float) -> dict[str, Run]:
    return {way: run(way, work) for way, work in works.items()}


class TestFigures:
    def test_a_spread_is_the_median_between_its_extremes(self) -> None:
        assert spread([3.0, 1.0, 2.0, 10.0, 2.5]).show(1) == "2.5 (1.0-10.0)"

    def test_ratios_are_taken_within_rounds_so_that_a_slow_machine_changes_none(self) -> None:
        rounds = [one_round(wellhead=1, kserve=3), one_round(wellhead=10, kserve=30), one_round(wellhead=2, kserve=6)]
        found = ratios(rounds, "kserve", "wellhead", lambda each: each.work)
        assert (found.middle, found.least, found.most) == (3, 3, 3)

    def test_every_round_runs_all_ways_and_two_rounds_of_a_pair_are_each_others_reverse(self) -> None:
        ways = ["a", "b", "c"]
        orders = [order(ways, number) for number in range(6)]
        assert all(sorted(each) == ways for each in orders)
        assert [orders[number] for number in (0, 2, 4)] == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]
        assert all(orders[number + 1] == orders[number][::-1] for number in (0, 2, 4))

    def test_the_table_says_speed_and_share_of_the_limit(self) -> None:
        rounds = [one_round(limit=1, wellhead=2), one_round(limit=2, wellhead=4), one_round(limit=1, wellhead=2)]
        rows = {line.split("|")[1].strip(): line.split("|") for line in table(rounds, 2048 * MIB).splitlines()}
        columns = [cell.strip() for cell in rows["way"]]
        cells = dict(zip(columns, (cell.strip() for cell in rows["wellhead"]), strict=True))
        assert cells["work MiB/s"] == "1,024"
        assert cells["of curl"] == "50.0%"
        assert cells["CPU s/GiB"] == "0.50"
        assert cells["resident MiB"] == "50"

    def test_a_local_copy_has_no_share_of_the_link(self) -> None:
        line = table([one_round(limit=1, cp=0.5)], MIB).splitlines()[-1]
        assert line.split("|")[5].strip() == "-"

    def test_the_comparison_has_times_as_fast_and_share_of_the_cpu(self) -> None:
        rounds = [{"wellhead": run("wellhead", 1.0, cpu=0.7), "kserve": run("kserve", 2.5, cpu=2.0)}]
        line = comparison(rounds).splitlines()[-1]
        assert [cell.strip().split()[0] for cell in line.split("|")[1:-1]] == ["kserve", "2.50", "2.00", "0.35"]

    def test_there_is_nothing_to_compare_without_us(self) -> None:
        assert comparison([one_round(limit=1, kserve=2)]) == ""


class TestListing:
    FILES = (
        StoredFile("models", "m/config.json", 10, '"a"', 0.0),
        StoredFile("models", "m/sub/x & y.bin", 20, '"b-2"', 0.0),
        StoredFile("models", "m-2/config.json", 30, '"c"', 0.0),
        StoredFile("other", "m/config.json", 40, '"d"', 0.0),
    )

    def names(self, query: dict[str, str], tag: str = "Contents/{}Key") -> list[str | None]:
        found = ET.fromstring(listing(self.FILES, "models", query))
        return [each.text for each in found.findall("/".join(NS + part.removeprefix("{}") for part in tag.split("/")))]

    def test_it_has_the_bucket_s_objects_below_the_prefix(self) -> None:
        assert self.names({"prefix": "m/"}) == ["m/config.json", "m/sub/x & y.bin"]
        assert len(self.names({})) == 3

    def test_a_delimiter_folds_what_is_deeper(self) -> None:
        query = {"prefix": "m/", "delimiter": "/"}
        assert self.names(query) == ["m/config.json"]
        assert self.names(query, "CommonPrefixes/Prefix") == ["m/sub/"]

    def test_size_etag_and_time_are_in_s3_s_form(self) -> None:
        entry = ET.fromstring(listing(self.FILES, "models", {"prefix": "m/sub/"})).find(f"{NS}Contents")
        assert entry is not None
        fields = {child.tag.removeprefix(NS): child.text for child in entry}
        assert (fields["Size"], fields["ETag"]) == ("20", '"b-2"')
        assert fields["LastModified"] == "1970-01-01T00:00:00.000Z"

    def test_the_location_of_us_east_1_is_empty(self) -> None:
        answer = ET.fromstring(location())
        assert (answer.tag, answer.text) == (f"{NS}LocationConstraint", None)


class TestStoredFiles:
    def test_folders_of_the_root_are_buckets(self, tmp_path: Path) -> None:
        (tmp_path / "models" / "m").mkdir(parents=True)
        (tmp_path / "models" / "m" / "b.json").write_bytes(b"{}")
        (tmp_path / "models" / "a").write_bytes(b"")
        assert [(file.bucket, file.key, file.size) for file in stored_files(tmp_path)] == [
            ("models", "a", 0),
            ("models", "m/b.json", 2),
        ]

    def test_a_small_object_s_etag_is_its_md5_sum_and_a_large_one_s_counts_pieces(self, tmp_path: Path) -> None:
        small, large = tmp_path / "small", tmp_path / "large"
        small.write_bytes(b"abc")
        with large.open("wb") as file:
            file.truncate(17 * MIB)
        assert etag(small) == f'"{hashlib.md5(b"abc").hexdigest()}"'
        assert etag(large).endswith('-3"')
        assert len(etag(large)) == len('"-3"') + 32


def test_a_request_arrived_when_its_answer_ended_less_what_that_took() -> None:
    request = parse_request("1795522198.886 0.079 GET 206 67108864 /models/m/a b.bin")
    assert dataclasses.astuple(request) == (
        pytest.approx(1795522198.807),
        0.079,
        "GET",
        206,
        67108864,
        "/models/m/a b.bin",
    )


class TestArguments:
    def test_by_default_all_that_is_installed_is_measured_five_times_unshaped(self) -> None:
        options = arguments([])
        assert (options.rounds, options.rates, options.size, options.shards) == (5, [None], 2048, 8)
        assert options.ways == [name for name, way in WAYS.items() if way.found()]
        assert {"wellhead", "kserve", "obstore-8"} <= set(options.ways)

    def test_rates_and_ways_are_each_taken_once(self) -> None:
        options = arguments(["--rates", "unshaped", "1", "2.5", "1", "--ways", "wellhead", "kserve", "wellhead"])
        assert options.rates == [None, 1.0, 2.5]
        assert options.ways == ["wellhead", "kserve"]

    def test_many_small_shards_have_a_name_of_their_own(self) -> None:
        options = arguments(["--many", "--latency", "0.02"])
        assert (options.size, options.shards, options.latency) == (512, 120, 0.02)

    @pytest.mark.parametrize(
        "wrong", [["--rounds", "0"], ["--rates", "fast"], ["--rates", "0"], ["--ways", "ftp"], ["--shards", "-1"]]
    )
    def test_senseless_values_are_refused(self, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            arguments(wrong)
        assert stopped.value.code == 2
        assert wrong[0] in capsys.readouterr().err

    def test_a_program_that_is_not_there_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("bench.download_ways.program", lambda _name: None)
        with pytest.raises(SystemExit):
            arguments(["--ways", "wellhead", "rclone"])
        assert "not installed: rclone" in capsys.readouterr().err
