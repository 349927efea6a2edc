/** MCP Inspector on the command line: a new connection for each step. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcomes, Step, Visit, VisitAll } from './visits.ts';

const program = 'node_modules/.bin/mcp-inspector';

function flagsOf(step: Step): string[] {
  switch (step.kind) {
    case 'tools':
    case 'resources':
    case 'prompts':
      return [`${step.kind}/list`];
    case 'read':
      return ['resources/read', '--uri', step.uri];
    case 'prompt':
      return ['prompts/get', '--prompt-name', step.name, ...pairs('--prompt-args', step.arguments)];
    case 'call':
      return ['tools/call', '--tool-name', step.name, ...pairs('--tool-arg', step.arguments)];
  }
}

function pairs(flag: string, values: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries(values).flatMap(([name, value]) => [flag, `${name}=${value}`]);
}

export const visitAllInspector: VisitAll = async (visits) => {
  const home = await mkdtemp(join(tmpdir(), 'inspector-'));
  const all: Outcomes[] = [];
  for (const visit of visits) all.push(await Promise.all(visit.steps.map((step) => inspect(visit, step, home))));
  await rm(home, { recursive: true, force: true });
  return all;
};

async function inspect({ url, authorization, transport }: Visit, step: Step, home: string): Promise<unknown> {
  const [method, ...flags] = flagsOf(step);
  const target = ['--cli', url, '--transport', transport, '--header', `Authorization: ${authorization}`];
  return new Promise((resolve) => {
    execFile(
      program,
      [...target, '--method', method!, ...flags],
      { env: { ...process.env, HOME: home }, timeout: 30_000 },
      (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.replaceAll(url, '<url>');
        resolve({ exit: error === null ? 0 : error.code, output });
      },
    );
  });
}
