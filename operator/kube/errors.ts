import type { ResourceType } from './resource.ts';

/** Every way in which a call to the API server can fail. */
export type KubeErrorCode =
  | 'NotFound'
  | 'Conflict'
  | 'AlreadyExists'
  | 'Gone'
  | 'Forbidden'
  | 'Invalid'
  | 'TooManyRequests'
  | 'Unauthorized'
  | 'Unavailable'
  | 'Timeout'
  | 'BadResponse'
  /** The caller's signal was aborted. */
  | 'Aborted'
  /** The fence stopped a write: this replica is not, or no longer, the leader. Nothing was sent. */
  | 'NotLeader';

interface KubeErrorDetail {
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * The only rejection of the Kubernetes client. `message` is safe to log and to show: it never holds a body, and for resources whose
 * bodies are secret not even the server's own sentence.
 */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: KubeErrorCode, message: string, detail: KubeErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.status = detail.status;
    this.retryAfterMs = detail.retryAfterMs;
  }
}

export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}

/** The parts of `metav1.Status` that decide. */
export interface StatusBody {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string }[];
  };
}

const codeByHttpStatus: Readonly<Record<number, KubeErrorCode>> = {
  400: 'Invalid',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  408: 'Timeout',
  409: 'Conflict',
  410: 'Gone',
  413: 'Invalid',
  415: 'Invalid',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'Unavailable',
  502: 'Unavailable',
  503: 'Unavailable',
  504: 'Timeout',
};

/** Their bodies hold keys or tokens, and the server quotes bodies in validation messages. */
const secretPlurals: ReadonlySet<string> = new Set(['secrets', 'tokenreviews']);

const statusMessageCharsMax = 500;

/** A failed answer as an error. `what` names the call, for example `get configmaps kube-system/x`. */
export function errorOfStatus(
  answer: { readonly status: number; readonly body: StatusBody | undefined; readonly retryAfterMs: number | undefined },
  type: ResourceType,
  what: string,
): KubeError {
  const code = codeOf(answer.status, answer.body);
  const said = secretPlurals.has(type.plural) ? undefined : answer.body?.message?.slice(0, statusMessageCharsMax);
  const message = `${what}: ${answer.status} ${code}${said === undefined ? '' : `: ${said}`}`;
  const detail = { status: answer.status };
  return new KubeError(
    code,
    message,
    answer.retryAfterMs === undefined ? detail : { ...detail, retryAfterMs: answer.retryAfterMs },
  );
}

function codeOf(status: number, body: StatusBody | undefined): KubeErrorCode {
  if (body?.reason === 'AlreadyExists') return 'AlreadyExists';
  if (isResourceVersionTooLarge(body)) return 'Gone';
  return codeByHttpStatus[status] ?? (status >= 500 ? 'Unavailable' : 'BadResponse');
}

/**
 * The server has never seen the resourceVersion we resume from: it was restored from an older backup. What we hold comes from a
 * future that did not happen, so it counts as expired.
 */
function isResourceVersionTooLarge(body: StatusBody | undefined): boolean {
  return body?.details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge') === true;
}
