import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { rolldown } from 'rolldown';
import { describe, expect, test } from 'vitest';
import { requirements } from '../requirements.ts';
import { importsOf, read, repositoryFiles, root, typescriptFiles } from './source-files.ts';

const aliases: Readonly<Record<string, string>> = {
  '#crds/': 'crds/',
  '#contract/': 'sidecar/contract/',
  '#operator/': 'operator/',
  '#sidecar/': 'sidecar/',
  '#cli/': 'cli/',
  '#test/': 'test/',
};

/** Which component may import which; ARCHITECTURE.md draws the same arrows. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  crds: ['crds'],
  operator: ['operator', 'crds', 'sidecar/contract', 'sidecar/destinations', 'cli/contract'],
  'sidecar/contract': ['sidecar/contract'],
  'sidecar/destinations': ['sidecar/destinations', 'sidecar'],
  sidecar: ['sidecar', 'sidecar/contract', 'sidecar/destinations'],
  'cli/contract': ['cli/contract'],
  cli: ['cli', 'cli/contract', 'crds'],
  build: ['build'],
};

/** Files outside every component that any may read. */
const shared = new Set(['package.json']);

function componentOf(file: string): string | undefined {
  const components = Object.keys(arrows).toSorted((a, b) => b.length - a.length);
  return components.find((component) => file.startsWith(`${component}/`));
}

function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(file), specifier));
  const alias = Object.keys(aliases).find((prefix) => specifier.startsWith(prefix));
  return alias === undefined ? undefined : `${aliases[alias]}${specifier.slice(alias.length)}`;
}

const shipped = typescriptFiles().filter((file) => componentOf(file) !== undefined);

describe('import arrows', () => {
  test('point only where ARCHITECTURE.md lets them', () => {
    const wrong = shipped.flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const target = targetOf(file, specifier);
        const allowed = arrows[componentOf(file) ?? ''] ?? [];
        const component = target === undefined ? undefined : (componentOf(target) ?? target.split('/')[0] ?? '');
        return component === undefined || shared.has(component) || allowed.includes(component)
          ? []
          : [`${file} imports ${specifier}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test('the sidecar and the contracts take nothing but the runtime, and one engine for patterns', () => {
    const builtins = new Set(builtinModules.map((name) => `node:${name}`));
    const isPatternEngine = (file: string, specifier: string): boolean =>
      file === 'cli/contract/key-pattern.ts' && specifier === 're2js';
    const wrong = shipped
      .filter((file) => file.startsWith('sidecar/') || file.startsWith('cli/contract/'))
      .flatMap((file) =>
        importsOf(file)
          .filter(
            (specifier) =>
              !specifier.startsWith('.') &&
              !specifier.startsWith('#contract/') &&
              !builtins.has(specifier) &&
              !specifier.startsWith('bun') &&
              !isPatternEngine(file, specifier),
          )
          .map((specifier) => `${file} imports ${specifier}`),
      );
    expect(wrong).toEqual([]);
  });

  test("the sidecar's bundle holds only sidecar files", async () => {
    const bundle = await rolldown({
      input: join(root, 'sidecar/main.ts'),
      platform: 'node',
      logLevel: 'silent',
      external: [/^node:/u, /^bun/u],
    });
    const { output } = await bundle.generate({ format: 'esm' });
    const modules = output.flatMap((part) => (part.type === 'chunk' ? part.moduleIds : []));
    const foreign = modules.filter((id) => !id.startsWith(join(root, 'sidecar/')) && !id.startsWith('\0rolldown'));
    expect(modules.length).toBeGreaterThan(10);
    expect(foreign).toEqual([]);
  });

  test('only the edge of the sidecar knows Bun', () => {
    const edge = new Set([
      'sidecar/main.ts',
      'sidecar/proxy/server.ts',
      'sidecar/proxy/upstream.ts',
      'sidecar/proxy/outside-upstreams.ts',
      'sidecar/proxy/dial-tls.ts',
      'sidecar/proxy/forward-proxy.ts',
      'build/sidecar.ts',
    ]);
    const wrong = shipped.filter((file) => !edge.has(file) && /(?<!`)\bBun\.|from ['"]bun/u.test(read(file)));
    expect(wrong).toEqual([]);
  });
});

describe('files', () => {
  test('are small: at most 400 lines each, 150 at the median', () => {
    const lines = shipped
      .map((file) => ({ file, count: read(file).split('\n').length }))
      .toSorted((a, b) => a.count - b.count);
    expect(lines.filter(({ count }) => count > 400)).toEqual([]);
    expect(lines[Math.floor(lines.length / 2)]?.count).toBeLessThanOrEqual(150);
  });

  test('have names that say what is inside', () => {
    const vague = /(?:^|\/)(?:utils?|helpers?|common|misc|types|index)(?:\.ts)?(?:\/|$)/u;
    expect(typescriptFiles().filter((file) => vague.test(file))).toEqual([]);
  });

  test('only main.ts reads arguments and environment', () => {
    const wrong = shipped.filter(
      (file) =>
        /^(?:operator|sidecar|cli)\//u.test(file) &&
        !file.endsWith('/main.ts') &&
        /process\.(?:argv|env)\b/u.test(read(file)),
    );
    expect(wrong).toEqual([]);
  });

  test('key bytes never become strings where keys are sealed, stored and handed out', () => {
    const places = /^operator\/(?:envelope|keystore)\//u;
    // The header of an envelope is public; the entry `current` of the KEK Secret is the id of a KEK.
    const harmless = new Set(['operator/envelope/format.ts', 'operator/keystore/kek-store.ts']);
    const wrong = shipped.filter(
      (file) =>
        places.test(file) &&
        !harmless.has(file) &&
        /\.toString\(\s*['"](?:utf-?8|latin1|ascii|binary)['"]|new TextDecoder|\.bytes\.toString\(/u.test(read(file)),
    );
    expect(wrong).toEqual([]);
  });

  test('name no machine, no registry host and no tool that wrote them', () => {
    const banned = [
      /\/work\//u,
      /registry\.npmjs\.org/u,
      /proxy\.golang\.org/u,
      /deb\.debian\.org/u,
      /\bclaude\b/iu,
      /\bhelper-\d/u,
    ];
    const text = repositoryFiles().filter(
      (file) => !/\.(?:png|tar|ico)$/u.test(file) && file !== 'test/structure/tidy.test.ts',
    );
    const wrong = text.flatMap((file) =>
      banned.filter((pattern) => pattern.test(read(file))).map((pattern) => `${file}: ${pattern}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('requirements', () => {
  const cited = new Map<string, string>();
  for (const file of typescriptFiles().filter((name) => name.startsWith('test/') && name.endsWith('.test.ts'))) {
    for (const match of read(file).matchAll(/verifies\(\s*'([^']+)'/gu)) cited.set(match[1] ?? '', file);
  }

  test('each has a test that cites it', () => {
    expect(Object.keys(requirements).filter((id) => !cited.has(id))).toEqual([]);
  });
});
