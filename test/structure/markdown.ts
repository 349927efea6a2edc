import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { read, root } from './source-files.ts';

/** Text of a page without fenced blocks, where nothing is a link or a heading. */
function proseOf(file: string): string {
  return read(file).replaceAll(/^ *```[\s\S]*?^ *```/gmu, '');
}

/** Anchors as GitHub makes them from headings. */
export function anchorsOf(file: string): ReadonlySet<string> {
  const headings = [...proseOf(file).matchAll(/^#{1,6} +(.+)$/gmu)].map((match) => match[1] ?? '');
  return new Set(headings.map(slugOf));
}

function slugOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, '')
    .replaceAll(' ', '-');
}

/** Links of `file` that lead nowhere in the repository; links to other hosts are not followed. */
export function brokenLinks(file: string): readonly string[] {
  const prose = proseOf(file).replaceAll(/`[^`\n]*`/gu, '');
  const targets = [...prose.matchAll(/\]\(([^()\s]+)\)/gu)].map((match) => match[1] ?? '');
  return targets.filter((target) => !/^[a-z]+:/u.test(target) && !leadsSomewhere(file, target));
}

function leadsSomewhere(file: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const page = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)));
  if (!existsSync(join(root, page))) return false;
  return anchor === undefined || !page.endsWith('.md') || anchorsOf(page).has(anchor);
}

/** Everything that stands in a code span of a page. */
export function codeSpansOf(file: string): ReadonlySet<string> {
  return new Set([...read(file).matchAll(/`([^`\n]+)`/gu)].map((match) => match[1] ?? ''));
}

/** Contents of the fenced blocks of one language. */
export function blocksOf(file: string, language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gmu');
  return [...read(file).matchAll(fence)].map((match) => match[1] ?? '');
}
