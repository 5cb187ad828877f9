"""OpenSubsonic's extension `transcoding`: a client says what it plays, Segue says what it should ask for."""

import json
import re
from dataclasses import dataclass
from typing import Any

from jobs.audio import decoding
from serving import media
from serving.catalog import Track
from serving.media import AudioRequest, audio_response
from serving.problems import RequestError
from serving.subsonic.protocol import GENERIC, Answer, SubsonicError, SubsonicRequest, method
from serving.transcoding import encoding

# By extension: the container and the codec, in the names that clients use.
_STREAMS = {
    "mp3": ("mp3", "mp3"),
    "flac": ("flac", "flac"),
    "opus": ("ogg", "opus"),
    "ogg": ("ogg", "vorbis"),
    "oga": ("ogg", "vorbis"),
    "m4a": ("mp4", "aac"),
    "aac": ("aac", "aac"),
    "wav": ("wav", "pcm"),
}
# Other names of a container.
_ALIASES = {
    "m4a": "mp4",
    "m4b": "mp4",
    "mov": "mp4",
    "oga": "ogg",
    "opus": "ogg",
    "adts": "aac",
    "wave": "wav",
}

# By container and codec that a client takes: the format to make.
_TARGETS = {
    ("mp3", "mp3"): "mp3",
    ("ogg", "opus"): "opus",
    ("mp4", "aac"): "m4a",
    ("aac", "aac"): "aac",
    ("flac", "flac"): "flac",
}
_COMPARISONS = {
    "Equals": lambda found, values: found in values,
    "NotEquals": lambda found, values: found not in values,
    "LessThanEqual": lambda found, values: found <= max(values),
    "GreaterThanEqual": lambda found, values: found >= min(values),
}
_PARAMETERS = re.compile(r"(mp3|opus|m4a|aac|flac)-(\d{1,3})", re.ASCII)


@dataclass(frozen=True)
class Stream:
    """What a file is; bits per second, hertz and bits, 0 for unknown."""

    container: str
    codec: str
    bit_rate: int
    channels: int = 0
    sample_rate: int = 0
    bit_depth: int = 0

    def answer(self) -> dict[str, Any]:
        """Return it as OpenSubsonic's streamDetails."""
        known = {
            "audioChannels": self.channels,
            "audioBitrate": self.bit_rate,
            "audioSamplerate": self.sample_rate,
            "audioBitdepth": self.bit_depth,
        }
        names = {"protocol": "http", "container": self.container, "codec": self.codec}
        return names | {name: value for name, value in known.items() if value}

    def value(self, name: str) -> int:
        """Return the number that a limitation names, 0 for unknown."""
        return int(self.answer().get(name, 0))


@method("getTranscodeDecision")
def _decide(request: SubsonicRequest) -> Answer:
    track = _song(request)
    client = _client_info(request.body)
    source = _source(track)
    reason = _refusal(client, source)
    answer: dict[str, Any] = {
        "canDirectPlay": not reason,
        "canTranscode": False,
        "sourceStream": source.answer(),
    }
    if reason:
        answer["transcodeReason"] = [reason]
        found = _target(client, source)
        if found is None:
            answer["errorReason"] = "expected a profile of a format that can be made, found none"
        else:
            format_name, stream = found
            answer |= {
                "canTranscode": True,
                "transcodeParams": f"{format_name}-{stream.bit_rate // 1000}",
                "transcodeStream": stream.answer(),
            }
    return {"transcodeDecision": answer}


@method("getTranscodeStream")
def _stream(request: SubsonicRequest) -> Answer:
    track = _song(request)
    found = _PARAMETERS.fullmatch(request.query.text("transcodeParams"))
    if found is None:
        raise RequestError(400, "transcodeParams: expected the value that getTranscodeDecision returned")
    offset_s = request.query.number("offset", 0, 86_400)
    return audio_response(request.state, track, AudioRequest(found[1], int(found[2]), offset_s))


def _song(request: SubsonicRequest) -> Track:
    if request.query.text("mediaType") != "song":
        raise RequestError(400, "mediaType: expected song: there are no podcasts")
    return request.state.track(request.query.text("mediaId"))


def _client_info(body: bytes) -> dict[str, Any]:
    try:
        client = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        client = None
    if not isinstance(client, dict):
        raise SubsonicError(GENERIC, "body: expected a JSON object with the client's profiles")
    return client


def _profiles(client: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = client.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _source(track: Track) -> Stream:
    """Return what the original is; numbers are from its header."""
    file = media.original(track)
    container, codec = _STREAMS.get(file.suffix, (file.suffix, file.suffix))
    info = getattr(decoding.open_tags(str(file.path)), "info", None)
    if container == "mp4" and str(getattr(info, "codec", "")).lower() == "alac":
        codec = "alac"
    numbers = [int(getattr(info, name, 0) or 0) for name in ("channels", "sample_rate", "bits_per_sample")]
    return Stream(container, codec, file.bit_rate * 1000, *numbers)


def _refusal(client: dict[str, Any], source: Stream) -> str:
    """Return why a client cannot play a stream as it is, in OpenSubsonic's words; "" if it can."""
    profiles = _profiles(client, "directPlayProfiles")
    by_container = [p for p in profiles if source.container in _names(p, "containers", _ALIASES)]
    if not by_container:
        return "ContainerNotSupported"
    by_codec = [p for p in by_container if source.codec in (_names(p, "audioCodecs") or {source.codec})]
    if not by_codec:
        return "AudioCodecNotSupported"
    if not any("http" in (_names(p, "protocols") or {"http"}) for p in by_codec):
        return "ProtocolNotSupported"
    if not any(source.channels <= (_number(p.get("maxAudioChannels")) or source.channels) for p in by_codec):
        return "AudioChannelsNotSupported"
    limit = _number(client.get("maxAudioBitrate"))
    if limit and source.bit_rate > limit:
        return "AudioBitrateNotSupported"
    return _limited(client, source)


def _limited(client: dict[str, Any], stream: Stream) -> str:
    """Return which limitation of the codec a stream exceeds, "" for none."""
    for profile in _profiles(client, "codecProfiles"):
        if str(profile.get("name")).lower() != stream.codec:
            continue
        for limitation in _profiles(profile, "limitations"):
            name = str(limitation.get("name"))
            compare = _COMPARISONS.get(str(limitation.get("comparison")))
            values = _values(limitation)
            found = stream.value(name)
            if compare and values and found and not compare(found, values):
                return f"{name[:1].upper()}{name[1:40]}NotSupported"
    return ""


def _target(client: dict[str, Any], source: Stream) -> tuple[str, Stream] | None:
    """Return the first format that a client takes and FFmpeg makes, with its stream; None for none."""
    limits = [_number(client.get(name)) for name in ("maxTranscodingAudioBitrate", "maxAudioBitrate")]
    for profile in _profiles(client, "transcodingProfiles"):
        container = str(profile.get("container")).lower()
        codec = str(profile.get("audioCodec")).lower()
        key = (_ALIASES.get(container, container), codec)
        if key not in _TARGETS or profile.get("protocol", "http") != "http":
            continue
        format_name = _TARGETS[key]
        limit = min([each for each in (*limits, _bit_rate_limit(client, codec)) if each], default=0)
        if format_name == "flac" and limit:  # lossless has no bit rate to keep
            continue
        kilobits = encoding(format_name, limit // 1000).bit_rate
        return format_name, Stream(*key, kilobits * 1000, min(source.channels, 2))
    return None


def _bit_rate_limit(client: dict[str, Any], codec: str) -> int:
    """Return the most bits per second that a client takes of a codec; 0 for no limit."""
    found = [
        value
        for profile in _profiles(client, "codecProfiles")
        if str(profile.get("name")).lower() == codec
        for limitation in _profiles(profile, "limitations")
        if limitation.get("name") == "audioBitrate" and limitation.get("comparison") == "LessThanEqual"
        for value in _values(limitation)
    ]
    return min(filter(None, found), default=0)


def _names(profile: dict[str, Any], key: str, aliases: dict[str, str] | None = None) -> set[str]:
    found = profile.get(key)
    names = [str(name).lower() for name in found] if isinstance(found, list) else []
    return {(aliases or {}).get(name, name) for name in names}


def _values(limitation: dict[str, Any]) -> list[int]:
    found = limitation.get("values")
    return [_number(each) for each in found] if isinstance(found, list) else []


def _number(value: Any) -> int:
    text = str(value)
    return int(text[:12]) if text.isascii() and text.isdecimal() else 0
