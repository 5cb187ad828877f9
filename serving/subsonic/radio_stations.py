"""Internet radio stations: admins manage them, clients play them."""

from serving.db.accounts import LOCAL_USER
from serving.db.radio_stations import RadioStation
from serving.problems import RequestError
from serving.subsonic.protocol import FORBIDDEN, Answer, SubsonicError, SubsonicRequest, method


@method("getInternetRadioStations")
def _stations(request: SubsonicRequest) -> Answer:
    answers = []
    for station in request.state.radio_stations.list_stations():
        answer = {"id": station.station_id, "name": station.title, "streamUrl": station.stream_url}
        answers.append(answer | ({"homePageUrl": station.home_url} if station.home_url else {}))
    return {"internetRadioStations": {"internetRadioStation": answers}}


@method("createInternetRadioStation")
def _create(request: SubsonicRequest) -> Answer:
    _require_admin(request)
    query = request.query
    request.state.radio_stations.create(query.text("name"), query.text("streamUrl"), _home_url(request))
    return {}


@method("updateInternetRadioStation")
def _update(request: SubsonicRequest) -> Answer:
    _require_admin(request)
    query = request.query
    station = RadioStation(query.text("id"), query.text("name"), query.text("streamUrl"), _home_url(request))
    if not request.state.radio_stations.update(station):
        raise RequestError(404, "expected the id of an internet radio station")
    return {}


@method("deleteInternetRadioStation")
def _delete(request: SubsonicRequest) -> Answer:
    _require_admin(request)
    if not request.state.radio_stations.delete(request.query.text("id")):
        raise RequestError(404, "expected the id of an internet radio station")
    return {}


def _home_url(request: SubsonicRequest) -> str:
    return request.query.text("homepageUrl", "")


def _require_admin(request: SubsonicRequest) -> None:
    """Raise SubsonicError unless the user is an admin; without accounts the only user is as good as one."""
    if not request.user.admin and request.user.name != LOCAL_USER:
        raise SubsonicError(FORBIDDEN, "expected an admin")
