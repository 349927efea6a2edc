/** What of a cluster the demo has made, and what it therefore may remove. Decisions only. */

/** On the namespaces that the demo makes. */
export const madeByDemo = { 'mcp-demo/made-by': 'make-demo' } as const;

const release = 'mcp-keyring';
const crdsRelease = 'mcp-keyring-crds';
const demoNamespaces = ['mcp-demo', 'mcp-keyring', 'mcp-keyring-keys'] as const;

/** jsonpath for namespaces and definitions: name, mark, release that made it, namespace of the release; tabs between, one a line. */
export const ownershipPath: string =
  'jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.metadata.annotations.mcp-demo/made-by}{"\\t"}' +
  '{.metadata.annotations.meta\\.helm\\.sh/release-name}{"\\t"}{.metadata.annotations.meta\\.helm\\.sh/release-namespace}{"\\n"}{end}';

/** jsonpath for the Secrets that Helm keeps: name of the release, its namespace. */
export const releasesPath = 'jsonpath={range .items[*]}{.metadata.labels.name}{"\\t"}{.metadata.namespace}{"\\n"}{end}';
export const releasesSelector: string = `owner=helm,name in (${release},${crdsRelease})`;

interface Owned {
  readonly name: string;
  readonly mark: string;
  readonly release: string;
  readonly releaseNamespace: string;
}

/** What `kubectl get` says with the paths above. */
export interface Found {
  readonly namespaces: string;
  readonly definitions: string;
  readonly releases: string;
}

function rows(output: string): readonly (readonly string[])[] {
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.split('\t'));
}

function owned(output: string): readonly Owned[] {
  return rows(output).map(([name = '', mark = '', by = '', where = '']) => ({
    name,
    mark,
    release: by,
    releaseNamespace: where,
  }));
}

interface Inventory {
  readonly ours: readonly string[];
  readonly foreign: readonly string[];
  readonly definitions: readonly string[];
}

/**
 * The demo's namespaces carry its mark. What Helm made belongs to the demo when its release is in the marked namespace: the demo marks it
 * only after it found none of this.
 */
function takeInventory(found: Found): Inventory {
  const known = owned(found.namespaces).filter(({ name }) => demoNamespaces.some((one) => one === name));
  const isMarked = (name: string): boolean =>
    known.some((one) => one.name === name && one.mark === madeByDemo['mcp-demo/made-by']);
  const isOfRelease = (one: Owned, name: string): boolean =>
    isMarked(release) && one.release === name && one.releaseNamespace === release;
  const isOurs = (one: Owned): boolean =>
    isMarked(one.name) || (one.name === 'mcp-keyring-keys' && isOfRelease(one, release));
  const definitions = owned(found.definitions).filter(({ name }) => name.endsWith('.mcpkeyring.io'));
  const releases = new Set(
    rows(found.releases)
      .filter(([, where]) => where !== release || !isMarked(release))
      .map(([name = '', where = '']) => `release ${name} in ${where}`),
  );
  return {
    ours: known.filter(isOurs).map(({ name }) => name),
    definitions: definitions.filter((one) => isOfRelease(one, crdsRelease)).map(({ name }) => name),
    foreign: [
      ...known.filter((one) => !isOurs(one)).map(({ name }) => `namespace ${name}`),
      ...releases,
      ...definitions.filter((one) => !isOfRelease(one, crdsRelease)).map(({ name }) => `definition ${name}`),
    ],
  };
}

/** Throws when the cluster has an installation that the demo would overwrite. */
export function refuseForeign(found: Found, context: string): void {
  const { foreign } = takeInventory(found);
  if (foreign.length === 0) return;
  throw new Error(`the cluster of the context ${context} has these already, and the demo did not make them:
${foreign.map((one) => `  ${one}`).join('\n')}
The demo would overwrite them, so it changes nothing. Take another cluster, or leave out CLUSTER for one of the demo's own.`);
}

export interface Removal {
  readonly commands: readonly (readonly string[])[];
  /** Is there, but was not made by the demo. */
  readonly left: readonly string[];
}

/** In the order of docs/install.md, "Remove user data too"; the marked namespace goes last, so that an interrupted removal can go on. */
export function removal(found: Found): Removal {
  const { ours, definitions, foreign } = takeInventory(found);
  const namespace = (name: string): readonly (readonly string[])[] =>
    ours.includes(name) ? [['kubectl', 'delete', 'namespace', name, '--ignore-not-found', '--timeout=180s']] : [];
  const uninstall = (name: string): readonly string[] => [
    'helm',
    'uninstall',
    name,
    '--namespace',
    release,
    '--ignore-not-found',
    '--wait',
  ];
  const objects = ['userkeys', 'mcpservers', 'userkeypolicies']
    .map((plural) => `${plural}.mcpkeyring.io`)
    .filter((name) => definitions.includes(name))
    .map((name) => ['kubectl', 'delete', name, '--all', '--all-namespaces', '--timeout=120s']);
  return {
    commands: [
      ...objects,
      ...namespace('mcp-demo'),
      ...(ours.includes(release) ? [uninstall(release), uninstall(crdsRelease)] : []),
      ...(definitions.length === 0
        ? []
        : [['kubectl', 'delete', 'crd', ...definitions, '--ignore-not-found', '--timeout=120s']]),
      ...namespace('mcp-keyring-keys'),
      ...namespace(release),
    ],
    left: foreign,
  };
}
