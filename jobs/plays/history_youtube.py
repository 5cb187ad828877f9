"""Artist and title of YouTube's history, as Google Takeout writes it in JSON; videos are no music."""

import re
from collections.abc import Mapping
from typing import Any

from jobs.plays.listens import VIDEO, InvalidRow, require_name

# What stands around a title in the languages of accounts. Chinese and Portuguese accounts have the English.
_WATCHED = (
    *("Watched {}", "{} angesehen", "Vous avez regardé {}", "Has visto {}", "Hai guardato {}"),
    *("Je hebt naar {} gekeken", "Je hebt {} bekeken", "Tittade på {}", "Så på {}", "Så {}"),
    *("Obejrzano: {}", "Obejrzano {}", "Zhlédli jste video {}", "Ați vizionat {}", "{} katsottiin"),
    *("Просмотрено видео {}", "Ви дивилися відео {}", "Гледахте {}", "Παρακολουθήσατε το βίντεο {}"),
    *("{} adlı videoyu izlediniz", "{} izlənildi", "تمت مشاهدة {} .", "{} を視聴しました", "{} देखा"),
    *("{} 을(를) 시청했습니다.", "{} 을(를) 시청했습니다", "{} দেখা হয়েছে", "Pinanood ang {}"),
)
_WRAPPERS = [form.split("{}") for form in _WATCHED]
_QUOTES = re.compile(r"^[„“\"«](.+)[“”\"»]$", re.DOTALL)
# Channels that YouTube makes of an artist's music have this suffix; artists' own often the other.
_TOPIC = re.compile(r" - Topic$")
_VEVO = re.compile(r"VEVO$")


def youtube_names(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return artist and title of a row; raise InvalidRow for a video, or for music without names."""
    title = _title(row.get("title"))
    if not _is_music(row):
        raise InvalidRow(VIDEO, ascii(title)[:60])
    subtitles = row.get("subtitles")
    first = subtitles[0] if isinstance(subtitles, list) and subtitles else {}
    channel = require_name(first.get("name") if isinstance(first, dict) else None, "subtitles")
    if _TOPIC.search(channel):
        return _TOPIC.sub("", channel), title
    artist = _VEVO.sub("", channel).strip() or channel
    before, separator, after = title.partition(" - ")
    is_repeated = "".join(before.split()).casefold() == "".join(artist.split()).casefold()
    return (before, after) if separator and is_repeated else (artist, title)


def _is_music(row: Mapping[str, Any]) -> bool:
    if row.get("header") == "YouTube Music":
        return True
    details = row.get("details")  # of "My Activity"
    names = (
        [each.get("name") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    )
    return "From YouTube Music" in names or str(row.get("titleUrl")).startswith("https://music.youtube.com/")


def _title(value: object) -> str:
    text = require_name(value, "title")
    for before, after in _WRAPPERS:
        if text.startswith(before) and text.endswith(after) and len(text) > len(before + after):
            text = text[len(before) : len(text) - len(after)].strip()
            quoted = _QUOTES.match(text)
            text = quoted[1] if quoted and before != "Watched " else text
            break
    # A removed piece has its address for a title.
    return require_name("" if text.startswith("https://") else text, "title")
