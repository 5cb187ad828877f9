// The list of playlists, the page of one, and that of a mix.

import { get, isOwn } from "../api.js";
import { deletePlaylist, getPlaylist, makePlaylist, playlistAddress, renamePlaylist, setPlaylistTracks, sharePlaylist } from "../playlists.js";
import { moved, sortableList } from "../sortable.js";
import { sayMix } from "../server_words.js";
import { t } from "../strings.js";
import { trackFinder } from "../track_finder.js";
import { button, cover, emptyState, formatLength, h, icon, toast, whileConnected } from "../ui.js";

const mosaic = (albumIds) => h("div", { class: `mosaic4${albumIds.length < 4 ? " single" : ""}`, "aria-hidden": "true" },
  albumIds.length ? albumIds.slice(0, albumIds.length < 4 ? 1 : 4).map((album_id) => cover({ album_id }, 300)) : icon("playlist"));

// "12 tracks", and whose they are or who may read them.
function describe(playlist) {
  const tracks = t("count.tracks", { count: playlist.tracks });
  if (!isOwn(playlist)) return t("playlist.by", { tracks, owner: playlist.owner });
  return playlist.public ? t("playlist.public", { tracks }) : tracks;
}

export function makePlaylistViews({ player, items, events, session }) {
  const card = (playlist) => items.linkedCard("playlist", playlistAddress(playlist.id), playlist.name, describe(playlist),
    mosaic(playlist.album_ids), async () => (await getPlaylist(playlist.id)).items);

  async function playlists() {
    const list = h("ul", { class: "cards" });
    const box = h("div", {}, list);
    const create = async () => {
      const made = await makePlaylist([]);
      if (made) location.hash = playlistAddress(made.id);
    };
    const show = (found) => {
      list.replaceChildren(...found.map(card));
      box.replaceChildren(found.length ? list : emptyState("playlist", t("playlist.none")));
    };
    const changes = events.playlistChanges;
    const refresh = () => get("playlists").then(show, () => {});
    show(await get("playlists"));
    whileConnected(box, events, "playlists", refresh);
    if (changes !== events.playlistChanges) refresh();
    return [items.top(t("page.playlists"), h("button", { type: "button", class: "pill ghost", onclick: create }, icon("plus"), t("playlist.new"))), box];
  }

  const facts = (found) => [describe(found), found.tracks ? formatLength(found.duration_s) : null,
    found.missing ? t("playlist.missing", { count: found.missing }) : null].filter(Boolean).join(" · ");

  const head = (picture, title, ...words) => h("header", { class: "head playlist" }, picture, h("div", { class: "words" }, h("h1", {}, title), words));

  async function playlist(id) {
    const changes = events.playlistChanges;
    let found = await getPlaylist(id);
    const box = h("div", {});
    const tracks = () => found.items;

    // Show the new order at once and send it after those before; the server may refuse it, because another client was faster.
    let sent = Promise.resolve();
    function save(changed) {
      found = { ...found, items: changed };
      list.element.hidden = !changed.length;
      list.setItems(changed);
      sent = sent.then(async () => {
        if (found.items !== changed) return; // a later change has this one in it
        try {
          const answer = await setPlaylistTracks(found, changed);
          found = found.items === changed ? answer : { ...answer, items: found.items };
          showHead();
        } catch (problem) {
          toast(problem.status === 409 ? t("playlist.conflict") : problem.message);
          await refresh().catch(() => {});
        }
      });
    }
    const list = sortableList({
      items: tracks(), label: found.name, nameOf: (track) => track.title,
      move: (from, to) => save(moved(tracks(), from, to)),
      render: (track, index, handle) => items.line(track, () => player.play(tracks(), index),
        isOwn(found) ? [handle, button("x", t("playlist.remove", track), () => save(tracks().filter((_, n) => n !== index)))] : null),
    });

    function showHead() {
      const rename = async () => {
        const renamed = await renamePlaylist(found);
        if (renamed) found = renamed;
        showHead();
      };
      const erase = async () => {
        if (await deletePlaylist(found)) leave();
      };
      const share = async () => {
        found = await sharePlaylist(found, !found.public) ?? found;
        showHead();
      };
      const ownEntries = [[t("playlist.renameEntry"), "edit", rename],
        ...(session.users ? [[t(found.public ? "playlist.unshare" : "playlist.share"), "artist", share]] : []),
        [t("playlist.export"), "playlist", () => h("a", { href: `/api/export/playlists/${id}`, download: "" }).click()],
        [t("playlist.deleteEntry"), "trash", erase]];
      const isEmpty = !found.items.length;
      box.replaceChildren(
        head(mosaic(found.album_ids), found.name, found.comment ? h("p", { class: "soft" }, found.comment) : null,
          h("p", { class: "facts soft" }, facts(found)),
          h("div", { class: "tools" }, isEmpty ? null : [items.playAll(tracks()), items.shuffleAll(tracks())],
            items.menuButton(found.name, () => [...(isEmpty ? [] : items.groupEntries(async () => tracks())),
              ...(isOwn(found) ? ownEntries : [])]))),
        ...(isEmpty ? [emptyState("playlist", t("playlist.empty"))] : []));
      list.element.hidden = isEmpty;
    }
    async function refresh() {
      const entry = (await get("playlists")).find((each) => each.id === id);
      if (!entry) return leave();
      if (entry.changed === found.changed) return;
      const before = found;
      const present = await getPlaylist(id);
      if (found !== before) return; // changed here meanwhile
      found = present;
      list.setItems(found.items);
      showHead();
    }
    const leave = () => location.hash.startsWith(playlistAddress(id)) && (location.hash = "#/playlists");
    showHead();
    const refreshLater = () => (sent = sent.then(refresh).catch(() => {})); // the next event tries again
    whileConnected(box, events, "playlists", refreshLater);
    if (changes !== events.playlistChanges) refreshLater();
    const add = (track) => {
      save([...tracks(), track]);
      toast(t("playlist.added", { title: track.title, name: found.name }));
    };
    const finder = isOwn(found) ? trackFinder(items, { play: (track) => player.play([track]), add }) : null;
    return [box, finder, list.element];
  }

  async function mix(id) {
    const found = sayMix(await get(`mixes/${encodeURIComponent(id)}`));
    return [head(cover({ id: found.cover }, 300, { loading: "eager" }), found.title, h("p", { class: "facts soft" }, `${found.comment} · ${t("count.tracks", { count: found.tracks })}`),
      h("div", { class: "tools" }, items.playAll(found.items), items.shuffleAll(found.items),
        items.menuButton(found.title, () => items.groupEntries(async () => found.items)))), items.lines(found.items)];
  }

  return { playlists, playlist, mix };
}
