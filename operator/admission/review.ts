import { FieldError, requiredObject, requiredText, textAt } from './fields.ts';
import type { PatchOperation } from './inject/patch.ts';

const reviewApiVersion = 'admission.k8s.io/v1';
const reviewKind = 'AdmissionReview';

/** The API server's question, as far as we read it. `object` stays untrusted. */
export interface AdmissionRequest {
  readonly uid: string;
  /** `group/resource`, `/pods` for pods; a subresource follows after another slash. */
  readonly resource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly object: unknown;
}

export type AdmissionAnswer =
  | {
      readonly allowed: true;
      readonly operations: readonly PatchOperation[];
      readonly warnings: readonly string[];
    }
  | { readonly allowed: false; readonly httpCode: number; readonly message: string };

/** The body is no AdmissionReview that we can answer. The message names a field, never a value. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
}

const uidPattern = /^[A-Za-z0-9-]{1,128}$/;

/** @throws {ReviewError} for everything that is not an AdmissionReview v1 with a request; the caller bounds the size. */
export function decodeReview(body: Buffer): AdmissionRequest {
  try {
    return readReview(parseJson(body));
  } catch (error) {
    if (error instanceof FieldError) throw new ReviewError(error.message);
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    throw new ReviewError('the body is not JSON');
  }
}

function readReview(value: unknown): AdmissionRequest {
  const review = requiredObject(value, 'review');
  if (review['apiVersion'] !== reviewApiVersion) throw new ReviewError(`apiVersion is not ${reviewApiVersion}`);
  if (review['kind'] !== reviewKind) throw new ReviewError(`kind is not ${reviewKind}`);
  const request = requiredObject(review['request'], 'request');
  const uid = requiredText(request['uid'], 'request.uid');
  if (!uidPattern.test(uid)) throw new ReviewError('request.uid is not a UID');
  return {
    uid,
    resource: resourceOf(request),
    operation: requiredText(request['operation'], 'request.operation'),
    namespace: textAt(request['namespace'], 'request.namespace') ?? '',
    object: request['object'],
  };
}

function resourceOf(request: Readonly<Record<string, unknown>>): string {
  const resource = requiredObject(request['resource'], 'request.resource');
  const group = textAt(resource['group'], 'request.resource.group') ?? '';
  const subresource = textAt(request['subResource'], 'request.subResource') ?? '';
  const plural = requiredText(resource['resource'], 'request.resource.resource');
  return `${group}/${plural}${subresource === '' ? '' : `/${subresource}`}`;
}

/** The body of the HTTP response. */
export function encodeReview(uid: string, answer: AdmissionAnswer): string {
  return JSON.stringify({
    apiVersion: reviewApiVersion,
    kind: reviewKind,
    response: { uid, ...responseFields(answer) },
  });
}

function responseFields(answer: AdmissionAnswer): object {
  if (!answer.allowed) {
    return { allowed: false, status: { status: 'Failure', code: answer.httpCode, message: answer.message } };
  }
  return {
    allowed: true,
    ...(answer.operations.length === 0
      ? {}
      : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(answer.operations)).toString('base64') }),
    ...(answer.warnings.length === 0 ? {} : { warnings: answer.warnings }),
  };
}
