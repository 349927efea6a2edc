/** Fields that the schemas know and this version does not serve. Admission refuses them; a test compares this table with the chart's policies. */

export type Support =
  | { readonly kind: 'refused' }
  /** Only these values are served. */
  | { readonly kind: 'only'; readonly values: readonly string[] }
  /** A status field that this version never writes. */
  | { readonly kind: 'notWritten' };

const refused: Support = { kind: 'refused' };
const notWritten: Support = { kind: 'notWritten' };
const only = (...values: readonly string[]): Support => ({ kind: 'only', values });

/** By kind, then by path as it stands in the tables; what lies below a refused field is refused with it. */
export const support: Readonly<Record<string, Readonly<Record<string, Support>>>> = {
  Organization: {
    'spec.encryption.provider.kmsV2': refused,
    'spec.encryption.provider.vaultTransit': refused,
    'spec.encryption.rotationInterval': refused,
    'spec.audit.required': only('true'),
    'spec.audit.retention': refused,
    'spec.audit.sinks': refused,
  },
  McpServer: {
    'spec.authentication.headers[].reveal': only('None'),
  },
  UserKeyPolicy: {
    'spec.approval': refused,
    'spec.audit': refused,
  },
  UserKey: {
    'status.headers[].fingerprint': notWritten,
    'status.headers[].checkedAt': notWritten,
  },
  AccessToken: {},
  UserKeyRequest: {},
};

/** Support of a field, inherited from the refused field that it lies in. */
export function supportOf(kind: string, path: string): Support | undefined {
  const table = support[kind] ?? {};
  if (table[path] !== undefined) return table[path];
  const above = Object.entries(table).find(
    ([field, state]) => state.kind === 'refused' && (path.startsWith(`${field}.`) || path.startsWith(`${field}[]`)),
  );
  return above?.[1];
}
