"""The extension `transcoding`: direct play where a client can, else a format that it takes."""

import pytest

MP3 = {"container": "mp3", "audioCodec": "mp3", "protocol": "http"}
OPUS = {"container": "ogg", "audioCodec": "opus", "protocol": "http"}


def decide(call, *direct, targets=(MP3,), **capabilities):
    body = {
        "name": "x",
        "platform": "y",
        "directPlayProfiles": [
            {"containers": [c], "audioCodecs": [k], "protocols": ["http"]} for c, k in direct
        ],
        "transcodingProfiles": list(targets),
        **capabilities,
    }
    return call("getTranscodeDecision", mediaId="t00", mediaType="song", json=body)["transcodeDecision"]


def test_file_that_the_client_plays_is_played(call):
    found = decide(call, ("wav", "pcm"))
    assert found["canDirectPlay"] and not found["canTranscode"] and "transcodeParams" not in found
    source = found["sourceStream"]
    assert (source["container"], source["codec"], source["audioSamplerate"], source["audioChannels"]) == (
        "wav",
        "pcm",
        8000,
        1,
    )


@pytest.mark.parametrize(
    ("direct", "capabilities", "reason"),
    [
        (("mp3", "mp3"), {}, "ContainerNotSupported"),
        (("wav", "flac"), {}, "AudioCodecNotSupported"),
        (("wav", "pcm"), {"maxAudioBitrate": 1000}, "AudioBitrateNotSupported"),
        (
            ("wav", "pcm"),
            {
                "codecProfiles": [
                    {
                        "type": "AudioCodec",
                        "name": "pcm",
                        "limitations": [
                            {"name": "audioSamplerate", "comparison": "GreaterThanEqual", "values": ["44100"]}
                        ],
                    }
                ]
            },
            "AudioSamplerateNotSupported",
        ),
    ],
)
def test_reason_says_why_it_is_transcoded(call, direct, capabilities, reason):
    found = decide(call, direct, **capabilities)
    assert not found["canDirectPlay"] and found["canTranscode"] and found["transcodeReason"] == [reason]


def test_parameters_of_the_decision_open_the_stream(call, ask):
    found = decide(call, targets=[{**MP3, "protocol": "hls"}, OPUS, MP3], maxTranscodingAudioBitrate=96_000)
    assert found["transcodeStream"]["codec"] == "opus" and found["transcodeStream"]["audioBitrate"] == 96_000
    answer = ask(
        "getTranscodeStream", mediaId="t00", mediaType="song", transcodeParams=found["transcodeParams"]
    )
    assert (
        answer.status_code == 200
        and answer.content[:4] == b"OggS"
        and answer.headers["content-type"] == "audio/ogg"
    )


def test_client_without_a_format_that_can_be_made_gets_none(call):
    found = decide(call, targets=[{"container": "wma", "audioCodec": "wma", "protocol": "http"}])
    assert (found["canDirectPlay"], found["canTranscode"]) == (False, False) and found["errorReason"]


@pytest.mark.parametrize("hostile", ["mp3", "mp3-999999", "wav-1", "mp3-1 -f x", "$(id)", "mp3-12\n"])
def test_other_parameters_get_http_400(ask, hostile):
    answer = ask("getTranscodeStream", mediaId="t00", mediaType="song", transcodeParams=hostile)
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body", [[], "x", {"directPlayProfiles": 1}, {"directPlayProfiles": [1, {"containers": 3}]}]
)
def test_odd_description_of_a_client_is_no_crash(ask, body):
    answer = ask("getTranscodeDecision", mediaId="t00", mediaType="song", json=body)
    assert answer.status_code == 200
