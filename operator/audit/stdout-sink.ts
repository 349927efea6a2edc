/** One line of JSON for each durable event, `{"audit":{…}}`, so that log collectors can tell events from other lines. */
export function createLineSink(write: (line: string) => void): (eventJson: string) => void {
  return (eventJson) => write(`{"audit":${eventJson}}\n`);
}
