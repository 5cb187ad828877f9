import mutagen
import pytest

from jobs.audio import tag_copy


@pytest.mark.parametrize("extension", [".ogg", ".opus", ".flac"])
def test_vorbis_comments_share_private_class(sound, extension):
    """An upgrade of mutagen must not take away its private class that `copy_tags` recognizes Vorbis comments
    by.
    """
    path = sound("song" + extension)
    tagged_file = mutagen.File(path)
    tagged_file["title"] = "Aria"
    tagged_file.save()
    assert isinstance(mutagen.File(path).tags, tag_copy.VCommentDict)
