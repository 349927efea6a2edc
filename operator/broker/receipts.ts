import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

import type { KeyOutcome } from '#contract/outcome.ts';
import type { ServerRef } from '#contract/lease.ts';

import { brokerLimits } from './limits.ts';

/** What a receipt is for: a version of a user's key that was handed to a pod. */
export interface Receipted {
  readonly server: ServerRef;
  readonly subjectKey: string;
  readonly keyVersion: number;
  readonly podUid: string;
  /** Absent: the user's own key. */
  readonly keySource?: 'shared';
}

export interface ReceiptsOptions {
  /** The same in every replica, so that each takes what another has given. */
  readonly key: KeyObject;
  readonly now: () => Date;
}

/** Seconds since 1970, a dot, and 16 bytes in base64url. */
const receiptForm = /^(\d{1,11})\.([\w-]{22})$/;
const macBytes = 16;

/** Proofs that a pod was given a key: only who got one may tell what the upstream made of it. Nothing is kept of them. */
export class Receipts {
  readonly #options: ReceiptsOptions;

  constructor(options: ReceiptsOptions) {
    this.#options = options;
  }

  issue(lease: Receipted): string {
    const endsAtSec = Math.ceil((this.#options.now().getTime() + brokerLimits.receiptTtlMs) / 1_000);
    return `${endsAtSec}.${this.#macOf(lease, String(endsAtSec)).toString('base64url')}`;
  }

  /** Whether it is told by a pod that had that very key for that user. */
  covers(
    { server, podUid }: Pick<Receipted, 'server' | 'podUid'>,
    told: Pick<KeyOutcome, 'subjectKey' | 'keyVersion' | 'keySource' | 'receipt'>,
  ): boolean {
    const [, endsAt, mac] = receiptForm.exec(told.receipt ?? '') ?? [];
    if (endsAt === undefined || mac === undefined) return false;
    if (Number(endsAt) * 1_000 <= this.#options.now().getTime()) return false;
    const { subjectKey, keyVersion, keySource } = told;
    const lease = { server, podUid, subjectKey, keyVersion, ...(keySource === undefined ? {} : { keySource }) };
    const due = this.#macOf(lease, endsAt);
    return timingSafeEqual(due, Buffer.from(mac, 'base64url'));
  }

  #macOf({ server, subjectKey, keyVersion, podUid, keySource }: Receipted, endsAt: string): Buffer {
    const source = keySource === undefined ? [] : [keySource];
    const said = JSON.stringify([server.namespace, server.name, subjectKey, keyVersion, podUid, endsAt, ...source]);
    return createHmac('sha256', this.#options.key).update(said).digest().subarray(0, macBytes);
  }
}
