/** Splits a byte stream into lines of UTF-8, without their ends. @throws RangeError when one is longer than `bytesMax` */
export async function* readLines(source: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > bytesMax) throw new RangeError(`a line is longer than ${bytesMax} bytes`);
    yield* lines;
  }
}
