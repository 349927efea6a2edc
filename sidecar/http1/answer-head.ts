import type { Fields } from './fields.ts';
import type { ReceivedHead } from './received-head.ts';

/** How the end of an answer's body is found (RFC 9112, 6.3). */
export type AnswerFraming =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'untilClose' };

interface Framed {
  readonly status: number;
  readonly headers: Fields;
  /** `undefined`: it comes piece by piece. */
  readonly bodyBytes: number | undefined;
}

/** For an answer to a request of that method and version. */
export function framingOf(
  { status, headers, bodyBytes }: Framed,
  { method, minor }: Pick<ReceivedHead, 'method' | 'minor'>,
): AnswerFraming {
  if (method === 'HEAD' || status === 204 || status === 304) return { kind: 'none' };
  if (bodyBytes !== undefined) return { kind: 'length', bytes: bodyBytes };
  const declared = headers.get('content-length');
  if (declared !== null && /^\d{1,15}$/.test(declared)) return { kind: 'length', bytes: Number(declared) };
  return minor === 1 ? { kind: 'chunked' } : { kind: 'untilClose' };
}

export interface AnswerHead {
  readonly status: number;
  readonly headers: Fields;
  readonly framing: AnswerFraming;
  readonly keptAlive: boolean;
  /** Of now; used where the answer has none of its own (RFC 9110, 6.6.1). */
  readonly date: string;
}

/**
 * The head with its empty line. The fields that frame the body and rule the connection are written here, whatever `headers` says.
 * Names and values need no check: `Fields` holds none that ends a line.
 */
export function writeAnswerHead({ status, headers, framing, keptAlive, date }: AnswerHead): string {
  let head = `HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n`;
  let dated = false;
  headers.forEach((value, name) => {
    if (name === 'content-length' || name === 'transfer-encoding' || name === 'connection') return;
    if (name === 'date') dated = true;
    head += `${name}: ${value}\r\n`;
  });
  if (!dated) head += `date: ${date}\r\n`;
  if (framing.kind === 'length') head += `content-length: ${framing.bytes}\r\n`;
  else if (framing.kind === 'chunked') head += 'transfer-encoding: chunked\r\n';
  return keptAlive ? `${head}\r\n` : `${head}connection: close\r\n\r\n`;
}

/** They mean nothing (RFC 9112, 4); people read them. */
const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  202: 'Accepted',
  204: 'No Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};
