import { mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileSource } from '#sidecar/leases/file-source.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'file-source-'));
});
afterEach(() => rm(directory, { recursive: true }));

function set() {
  const time = { ms: 0 };
  const path = join(directory, 'file');
  return { time, path, source: new FileSource({ path, ageMsMax: 60_000, bytesMax: 10, nowMs: () => time.ms }) };
}

test('reads anew after its time, also what a symbolic link now points to', async () => {
  const { time, path, source } = set();
  await writeFile(join(directory, 'one'), 'one\n');
  await writeFile(join(directory, 'two'), 'two\n');
  await symlink(join(directory, 'one'), path);
  expect(await source.read()).toBe('one');
  await unlink(path);
  await symlink(join(directory, 'two'), path);
  time.ms = 59_999;
  expect(await source.read()).toBe('one');
  time.ms = 60_000;
  expect(await source.read()).toBe('two');
});

test('reads anew when it is told to', async () => {
  const { path, source } = set();
  await writeFile(path, 'one');
  await source.read();
  await writeFile(path, 'two');
  source.expire();
  expect(await source.read()).toBe('two');
});

test('keeps what it has while the file is gone, empty or too long', async () => {
  const { path, source } = set();
  await expect(source.read()).rejects.toThrow('ENOENT');
  await writeFile(path, 'one');
  expect(await source.read()).toBe('one');
  for (const broken of ['', 'far too long for it']) {
    await writeFile(path, broken);
    source.expire();
    expect(await source.read()).toBe('one');
  }
});
