import { Fields } from '../http1/fields.ts';
import { present } from '../contract/fields.ts';
import { createKeyLink } from '../contract/key-link.ts';
import type { KeyPage } from '../contract/key-page.ts';
import type { ServerRef } from '../contract/lease.ts';
import { describeSetCommand } from '../contract/set-command.ts';
import type { PolicySnapshot } from '../contract/watch.ts';
import {
  type ElicitedUrl,
  inputRequiredBody,
  rpcCodes,
  rpcErrorBody,
  toolErrorBody,
  urlElicitationBody,
} from '../mcp/answers.ts';
import type { RequestMessage } from '../mcp/message.ts';
import { initialize } from '../mcp/methods.ts';
import { ProxyError } from '../proxy/errors.ts';
import type {
  BoundToSession,
  ClassifiedRequest,
  GrantedKey,
  HeaderHintText,
  KeyAbsence,
  ProxyResponse,
} from '../proxy/exchange.ts';
import {
  absenceData,
  absences,
  describeAbsence,
  describeBesideLink,
  isCuredByKey,
  sharedRejection,
} from './absence-text.ts';
import { type AskedAction, clientNameOf, digestOf, findMarks, paramsOf, restoreCall, theirsIn } from './call.ts';
import type { Completions } from './completions.ts';
import type { LadderLimits } from './limits.ts';
import { type RequestState, RequestStateSealer, stateCharsMax } from './request-state.ts';
import { isInterruptible, rungFor } from './rungs.ts';

export interface LadderParts {
  readonly server: ServerRef;
  readonly policy: () => PolicySnapshot | undefined;
  readonly limits: LadderLimits;
  readonly completions: Pick<Completions, 'asked'>;
  /** The time of day: a state is read by other pods too. */
  readonly now: () => Date;
}

/** A call that comes back after its user was asked. */
export interface Retry {
  readonly state: RequestState | undefined;
  readonly action: AskedAction;
  /** The body as the upstream has to see it. */
  readonly bytes: Uint8Array;
}

export interface AnswerOptions {
  /** The user was asked in this call, and said no. */
  readonly declined?: boolean;
  /** The version of the key that the upstream has just refused. */
  readonly refusedVersion?: number | undefined;
}

/** Tells a client that a key is missing or of no use, in the richest form that it can take; see docs/protocol.md. */
export class Ladder {
  readonly #parts: LadderParts;
  #sealer: { readonly stateKey: string; readonly sealer: RequestStateSealer } | undefined;

  constructor(parts: LadderParts) {
    this.#parts = parts;
  }

  get limits(): LadderLimits {
    return this.#parts.limits;
  }

  /** Whether the client opens URLs for its user, as far as this request says. */
  opensUrls(request: Pick<ClassifiedRequest, 'message' | 'bytes'>): boolean {
    const { message, bytes } = request;
    if (message?.kind !== 'request') return false;
    if (message.elicitsUrl) return true;
    const assumed = this.#page?.assumedClients ?? [];
    if (assumed.length === 0 || (message.method !== initialize && message.era === 'legacy')) return false;
    return assumed.includes(clientNameOf(bytes) ?? '');
  }

  /** Always HTTP 200 to a request: a 4xx is an error of the connection to a client, and its text is not shown. */
  answer(request: BoundToSession, absence: KeyAbsence, options: AnswerOptions = {}): ProxyResponse {
    const { message, record } = request;
    record.decision = options.refusedVersion === undefined ? 'keyMissing' : 'keyRejected';
    // No id to repeat, and never a 401: that would start a login which cannot help.
    if (message?.kind !== 'request') return { status: 403, headers: new Fields(), body: undefined };
    const body = this.#askBody(request, message, { absence, ...options }) ?? this.#tell(request, message, absence);
    return { status: 200, headers: new Fields({ 'content-type': 'application/json' }), body };
  }

  /** The key that was sent is of no use. */
  rejection(permission: GrantedKey): KeyAbsence {
    if (permission.otherwise !== undefined) return permission.otherwise;
    if (permission.keySource === 'shared') return sharedRejection(permission.subjectKey);
    const sent = new Set(permission.headers.map((header) => header.name.toLowerCase()));
    const hints = (this.#parts.policy()?.headers ?? [])
      .filter((header) => sent.has(header.name.toLowerCase()))
      .map(hintOf);
    const message = describeSetCommand(this.#parts.server, permission.subject);
    return { decision: 'invalid', subjectKey: permission.subjectKey, hints, message };
  }

  /**
   * `undefined` when the request brings nothing of ours.
   * @throws ProxyError when the state was altered, has expired, or belongs to another user or another call
   */
  readRetry(request: ClassifiedRequest): Retry | undefined {
    const { message, bytes } = request;
    const sealer = this.#sealerOf(this.#page);
    if (sealer === undefined || message?.kind !== 'request' || !isInterruptible(message)) return undefined;
    // A state of ours comes with no larger one, what the server had kept in it included.
    if (bytes.byteLength > this.limits.askedBytesMax + 2 * stateCharsMax) return undefined;
    const marks = findMarks(bytes, sealer);
    if (marks === undefined) return undefined;
    const state = marks.state === undefined ? undefined : sealer.open(marks.state);
    if (marks.state !== undefined && !this.#isGood(state, request, digestOf(message.method, marks.params))) {
      throw new ProxyError('RequestStateInvalid', 'Invalid or expired requestState');
    }
    const restored = restoreCall(bytes, marks, { marker: sealer.marker, theirs: state?.theirs });
    return { state, action: marks.action, bytes: restored };
  }

  #isGood(state: RequestState | undefined, { permission }: ClassifiedRequest, digest: string): boolean {
    if (state === undefined || state.endsAtMs < this.#parts.now().getTime()) return false;
    return state.subjectKey === permission.subjectKey && state.digest === digest;
  }

  get #page(): KeyPage | undefined {
    return this.#parts.policy()?.keyPage;
  }

  get #title(): string {
    return this.#parts.policy()?.title ?? this.#parts.server.name;
  }

  /** A policy does not change, it is replaced; the key stays the same. */
  #sealerOf(page: KeyPage | undefined): RequestStateSealer | undefined {
    if (page === undefined) return undefined;
    if (this.#sealer?.stateKey !== page.stateKey) {
      const sealer = new RequestStateSealer(page.stateKey, this.#parts.server);
      this.#sealer = { stateKey: page.stateKey, sealer };
    }
    return this.#sealer.sealer;
  }

  /** Asks the client to lead its user to the page; `undefined` when it cannot, or when asking does not help. */
  #askBody(
    request: BoundToSession,
    message: RequestMessage,
    asking: AnswerOptions & { readonly absence: KeyAbsence },
  ): Uint8Array | undefined {
    const { absence, declined = false } = asking;
    const page = this.#page;
    const { subjectKey } = absence;
    if (page === undefined || subjectKey === undefined || declined) return undefined;
    const rung = rungFor({ message, canOpenPage: isCuredByKey(absence) && this.#canOpen(request) });
    if (rung !== 'inputRequired' && rung !== 'urlElicitation') return undefined;
    const link = createKeyLink(page, { server: this.#parts.server, subjectKey }, this.#parts.now());
    const elicited = { url: link.url, message: describeBesideLink(absence, this.#title) };
    if (rung === 'inputRequired') return this.#interrupt(request, message, { ...asking, page, subjectKey, elicited });
    const elicitationId = link.nonce;
    request.record.rpcStatus = rpcCodes.urlElicitationRequired;
    this.#parts.completions.asked(request.record.sessionIdHash, {
      elicitationId,
      refusedVersion: asking.refusedVersion,
    });
    return urlElicitationBody(message.id, { ...elicited, elicitationId });
  }

  #canOpen(request: BoundToSession): boolean {
    const { message, session, bytes, asked = 0 } = request;
    if (asked >= this.limits.roundsMax || bytes.byteLength > this.limits.askedBytesMax) return false;
    const isLegacy = message?.kind === 'request' && message.era === 'legacy';
    return isLegacy ? session?.elicitsUrl === true : this.opensUrls(request);
  }

  #interrupt(
    { bytes, asked = 0 }: BoundToSession,
    { id, method }: RequestMessage,
    asking: AnswerOptions & { readonly page: KeyPage; readonly subjectKey: string; readonly elicited: ElicitedUrl },
  ): Uint8Array | undefined {
    const sealer = this.#sealerOf(asking.page);
    const params = paramsOf(bytes);
    const theirs = theirsIn(params);
    const requestState = sealer?.seal({
      endsAtMs: this.#parts.now().getTime() + this.limits.stateMsMax,
      subjectKey: asking.subjectKey,
      digest: digestOf(method, params),
      rounds: asked + 1,
      ...(asking.refusedVersion === undefined ? {} : { refusedVersion: asking.refusedVersion }),
      ...(theirs === undefined ? {} : { theirs }),
    });
    if (sealer === undefined || requestState === undefined || requestState.length > stateCharsMax) return undefined;
    return inputRequiredBody(id, { key: sealer.marker, requestState, ...asking.elicited });
  }

  #tell({ record }: BoundToSession, message: RequestMessage, absence: KeyAbsence): Uint8Array {
    const { code } = absences[absence.decision];
    const url = isCuredByKey(absence) ? this.#page?.url : undefined;
    const text = describeAbsence(absence, { title: this.#title, url });
    if (rungFor({ message, canOpenPage: false }) === 'toolError') {
      record.isError = true;
      return toolErrorBody(text, message.id, message.era);
    }
    record.rpcStatus = code;
    return rpcErrorBody({ code, message: text, data: absenceData(absence, url) }, message.id);
  }
}

function hintOf({ name, title, help, helpURL }: HeaderHintText): HeaderHintText {
  return present({ name, title, help, helpURL });
}
