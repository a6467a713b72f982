// Server-sent events out of chunks of bytes: only the `data` of an event, which is all that the server sends.

/** Takes text as it comes and gives back the data of every event that is complete. */
export function eventParser() {
  let rest = "";
  return text => {
    rest += text;
    const events = rest.split(/\r?\n\r?\n/);
    rest = events.pop();
    return events.map(dataOf).filter(data => data !== "");
  };
}

function dataOf(event) {
  const lines = event.split(/\r?\n/).filter(line => line.startsWith("data:"));
  return lines.map(line => line.slice(5).replace(/^ /, "")).join("\n");
}
