// Plays one track at a time, and the next one after it.
const players = [...document.querySelectorAll("audio")];

for (const [place, player] of players.entries()) {
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
  });
  player.addEventListener("ended", () => players[place + 1]?.play());
}
