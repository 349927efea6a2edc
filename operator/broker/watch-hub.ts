import type { ServerResponse } from 'node:http';

import type { ServerRef } from '#contract/lease.ts';
import type { PolicySnapshot } from '#contract/watch.ts';
import { heartbeatMs } from '#contract/watch.ts';

import type { VerifiedPod } from '#operator/identity/pod-identity.ts';
import type { PodRole } from '#operator/identity/pod-roles.ts';

import { BrokerError } from './errors.ts';
import { brokerLimits } from './limits.ts';
import type { BrokerObserver, StreamEnd } from './metrics.ts';
import { encodeWatch, WatchStream } from './watch-stream.ts';

export interface WatchHubOptions {
  /** For the proxies of pods of one role. Undefined when there is no such server. */
  readonly snapshotOf: (server: ServerRef, role: PodRole) => PolicySnapshot | undefined;
  readonly observer: Pick<BrokerObserver, 'streams' | 'streamCut'>;
  readonly monotonicMs: () => number;
  /** Tells this process from every other: revisions of two replicas never compare equal. */
  readonly bootId: string;
  readonly random: () => number;
}

export type WatchingPod = Pick<VerifiedPod, 'uid' | 'role'>;

/** Streams that get the same: of one server, and of pods of one role. */
interface Group {
  readonly server: ServerRef;
  readonly role: PodRole;
  readonly streams: Set<WatchStream>;
  /** The snapshot that every stream of the group has. */
  snapshotJson: string;
}

/** All open watch streams, by server and role. */
export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #groups = new Map<string, Group>();
  readonly #perPod = new Map<string, number>();
  readonly #heartbeats: NodeJS.Timeout;
  #count = 0;
  #sequence = 0;
  #draining = false;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#heartbeats = setInterval(() => this.#beat(), heartbeatMs);
    this.#heartbeats.unref();
  }

  /**
   * Moves whenever a lease may have to end. A sidecar that comes back with the same one has missed nothing; one that comes from
   * another replica, or from before, asks again for what it holds.
   */
  get revision(): string {
    return `${this.#options.bootId}.${this.#sequence}`;
  }

  get size(): number {
    return this.#count;
  }

  /** Sends the snapshot and keeps the stream. @throws BrokerError ERR_SERVER_NOT_FOUND, ERR_TOO_MANY_STREAMS, ERR_DRAINING */
  open(response: ServerResponse, server: ServerRef, { uid: podUid, role }: WatchingPod): void {
    if (this.#draining) throw new BrokerError('ERR_DRAINING');
    const ofPod = this.#perPod.get(podUid) ?? 0;
    if (ofPod >= brokerLimits.streamsPerPodMax[role] || this.#count >= brokerLimits.streamsMax) {
      throw new BrokerError('ERR_TOO_MANY_STREAMS');
    }
    const policy = this.#options.snapshotOf(server, role);
    if (policy === undefined) throw new BrokerError('ERR_SERVER_NOT_FOUND');
    const group = this.#groupOf(server, role, policy);
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    const stream = new WatchStream({
      response,
      server,
      role,
      podUid,
      endsAtMs: this.#options.monotonicMs() + brokerLimits.streamLifetimeMs * (0.8 + 0.4 * this.#options.random()),
      onEnd: (ended, why) => this.#forget(ended, why),
    });
    group.streams.add(stream);
    this.#perPod.set(podUid, ofPod + 1);
    this.#count += 1;
    this.#options.observer.streams(this.#count);
    stream.send(encodeWatch({ kind: 'snapshot', revision: this.revision, policy }));
  }

  /** Leases of one user at one server end. */
  invalidate(server: ServerRef, subjectKey: string): void {
    this.#sequence += 1;
    for (const role of roles) {
      const group = this.#groups.get(keyOf(server, role));
      if (group !== undefined) this.#invalidateGroup(group, subjectKey);
    }
  }

  /** All leases at the servers that `concerns` picks end. */
  invalidateAll(concerns: (server: ServerRef) => boolean): void {
    this.#sequence += 1;
    for (const group of this.#groups.values()) if (concerns(group.server)) this.#invalidateGroup(group, 'all');
  }

  /** Sends the servers that `concerns` picks their policy, where it is another one now, and ends their leases then. */
  refresh(concerns: (server: ServerRef) => boolean): void {
    for (const group of this.#groups.values()) if (concerns(group.server)) this.#refreshGroup(group);
  }

  endPod(podUid: string): void {
    for (const stream of this.#all()) if (stream.podUid === podUid) stream.end('podGone');
  }

  /** Every stream ends; no heartbeat is sent afterwards. */
  drain(): void {
    this.#draining = true;
    clearInterval(this.#heartbeats);
    for (const stream of this.#all()) stream.end('draining');
  }

  #beat(): void {
    const nowMs = this.#options.monotonicMs();
    const line = encodeWatch({ kind: 'heartbeat', revision: this.revision });
    for (const stream of this.#all()) {
      stream.send(line);
      if (nowMs >= stream.endsAtMs) stream.end('lifetime');
    }
  }

  #refreshGroup(group: Group): void {
    const policy = this.#options.snapshotOf(group.server, group.role);
    if (policy === undefined) {
      this.#sequence += 1;
      this.#invalidateGroup(group, 'all');
      for (const stream of group.streams) stream.end('serverGone');
      return;
    }
    const snapshotJson = JSON.stringify(policy);
    if (snapshotJson === group.snapshotJson) return;
    group.snapshotJson = snapshotJson;
    this.#sequence += 1;
    const line = encodeWatch({ kind: 'snapshot', revision: this.revision, policy });
    for (const stream of group.streams) stream.send(line);
    this.#invalidateGroup(group, 'all');
  }

  #invalidateGroup(group: Group, subjectKey: string): void {
    const line = encodeWatch({ kind: 'invalidate', revision: this.revision, subjectKey });
    for (const stream of group.streams) stream.send(line);
  }

  #groupOf(server: ServerRef, role: PodRole, policy: PolicySnapshot): Group {
    const key = keyOf(server, role);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group: Group = { server, role, streams: new Set(), snapshotJson: JSON.stringify(policy) };
    this.#groups.set(key, group);
    return group;
  }

  #forget(stream: WatchStream, why: StreamEnd): void {
    const key = keyOf(stream.server, stream.role);
    const group = this.#groups.get(key);
    group?.streams.delete(stream);
    if (group?.streams.size === 0) this.#groups.delete(key);
    const left = (this.#perPod.get(stream.podUid) ?? 1) - 1;
    if (left > 0) this.#perPod.set(stream.podUid, left);
    else this.#perPod.delete(stream.podUid);
    this.#count -= 1;
    this.#options.observer.streams(this.#count);
    this.#options.observer.streamCut(why);
  }

  /** A copy: sending may end a stream. */
  #all(): readonly WatchStream[] {
    return [...this.#groups.values()].flatMap((group) => [...group.streams]);
  }
}

const roles: readonly PodRole[] = ['server', 'agent', 'gateway'];

function keyOf({ namespace, name }: ServerRef, role: PodRole): string {
  return `${namespace}/${name} ${role}`;
}
