import type { KeyPage } from './key-page.ts';
import type { HeaderHint, ServerRef } from './lease.ts';
import type { LimitRules } from './quota.ts';

/**
 * `GET /v1/watch?namespace=…&name=…`: newline-delimited JSON, one message a line. The first line is a snapshot; a heartbeat
 * comes every `heartbeatMs`. A sidecar that has heard nothing for `silenceMsMax` drops every lease (fail closed).
 */
export type WatchMessage =
  | { readonly kind: 'snapshot'; readonly revision: string; readonly policy: PolicySnapshot }
  /** `subjectKey`: of one subject, or `all`. */
  | { readonly kind: 'invalidate'; readonly revision: string; readonly subjectKey: string }
  | { readonly kind: 'heartbeat'; readonly revision: string };

/** Immutable resolved policy that a sidecar holds for its server. */
export interface PolicySnapshot {
  readonly server: ServerRef;
  readonly title: string;
  /** `SSE`: that of revision 2024-11-05, with a stream and messages beside it. Absent: Streamable HTTP. */
  readonly transport?: 'SSE';
  /** Every header that may be injected; all inbound copies of them are stripped. */
  readonly headers: readonly (HeaderHint & { readonly required: boolean })[];
  /** A tool may be called when every one of these lets it. Absent or empty: every tool. */
  readonly tools?: readonly ToolRules[];
  /** Absent: nothing is limited. */
  readonly limits?: LimitRules;
  /** What the server's author bounds; the proxy's own bounds hold as well. */
  readonly bounds?: RequestBounds;
  /** Absent: every host name, and no web page. */
  readonly allow?: AllowedSources;
  /** Absent: users are told in words what to do, and no link is offered. */
  readonly keyPage?: KeyPage;
  /**
   * 32 bytes in base64url, of this server alone and the same for all proxies that stand in front of it: marks ids of sessions with their
   * users. Absent: this proxy keeps sessions by its own memory.
   */
  readonly sessionKey?: string;
  /** URLs of the OpenID Connect issuers that users log in at (RFC 9728, `authorization_servers`). */
  readonly issuers?: readonly string[];
  /** What clients ask those for (`scopes_supported`). Absent: `openid`. */
  readonly scopes?: readonly string[];
  /** For proxies outside the server's pod. Absent: it cannot be reached from there. */
  readonly upstream?: ServerUpstream;
}

/** Absent: the proxy's own. */
export interface RequestBounds {
  readonly connectMsMax?: number;
  /** To the whole head of an answer. */
  readonly answerMsMax?: number;
  readonly bodyBytesMax?: number;
}

/** Where requests may come from. */
export interface AllowedSources {
  /** Lower case, without port. Absent: any. */
  readonly hosts?: readonly string[];
  /** As browsers write them. */
  readonly origins?: readonly string[];
}

export const connectMsLongest = 10_000;
export const answerMsLongest = 86_400_000;
export const bodyBytesMost = 16_777_216;
/** Those of the resource, and the names of the server's own Service. */
export const allowedHostsMax = 96;
export const allowedOriginsMax = 64;
export const allowedSourceCharsMax = 512;

/** Patterns of tool names: `*` stands for any characters, case counts. */
export interface ToolRules {
  /** Only these, and none where the list is empty. Absent: all. */
  readonly allow?: readonly string[];
  /** Wins over `allow`. */
  readonly deny?: readonly string[];
}

export const toolRulesMax = 64;
/** Most patterns of one list. A policy has at most 128 in each; what several deny is one list. */
export const toolPatternsMax = 8_192;
/** Longest pattern in UTF-16 units: 128 characters of the resource's schema. */
export const toolPatternCharsMax = 256;
/** Largest JSON of all rules of a server, so that a snapshot stays one line. */
export const toolRulesBytesMax = 524_288;

export type ServerUpstream =
  /** Outside the cluster: the proxy puts the keys on, and sends them to this origin only. */
  | {
      readonly kind: 'remote';
      /** https, with the path of the MCP endpoint. */
      readonly url: string;
      /** PEM of the certificates that it is verified with; absent: the public roots. */
      readonly ca?: string;
      readonly allowPrivateAddresses: boolean;
    }
  /** In the cluster: requests go to the sidecar's Service as they come, and the sidecar puts the keys on. */
  | { readonly kind: 'cluster'; readonly url: string };

export const upstreamUrlCharsMax = 1_024;
export const caBundleCharsMax = 262_144;
export const issuersMax = 16;
export const scopesMax = 256;
export const scopeCharsMax = 256;

export const heartbeatMs = 3_000;
export const silenceMsMax = 10_000;
export const watchLineBytesMax = 1_048_576;
