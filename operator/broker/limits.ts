import { auditBatchBytesMax, auditBatchMax } from '#contract/audit.ts';
import { leaseRequestBytesMax } from '#contract/lease.ts';
import { outcomeReportBytesMax } from '#contract/outcome.ts';
import { quotaBytesMax } from '#contract/quota.ts';

/** Bounds of everything that the broker reads, keeps or waits for. */
export const brokerLimits = {
  leaseBodyBytesMax: leaseRequestBytesMax,
  auditBodyBytesMax: auditBatchBytesMax,
  outcomesBodyBytesMax: outcomeReportBytesMax,
  quotaBodyBytesMax: quotaBytesMax,
  headerBytesMax: 16_384,
  podTokenCharsMax: 8_192,

  handshakeTimeoutMs: 5_000,
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 15_000,
  /** Longer than any client keeps an idle connection, so that none writes into one that was just closed. */
  keepAliveTimeoutMs: 120_000,
  connectionsMax: 20_000,
  leasesInFlightMax: 2_048,
  /** Streams that are being opened; open ones are bounded by `streamsMax`. */
  watchesInFlightMax: 2_048,
  /** Few, because their bodies are large: all of them together bound the memory. */
  auditsInFlightMax: 32,
  outcomesInFlightMax: 64,
  quotasInFlightMax: 1_024,
  /** An answer that its reader does not take within this time is given up, and its key zeroed. */
  answerTimeoutMs: 10_000,
  drainMsMax: 20_000,

  streamsMax: 20_000,
  /** A sidecar follows one server; an agent at most 16, a gateway at most 256; each twice while a stream is replaced by the next. */
  streamsPerPodMax: { server: 4, agent: 40, gateway: 520 },
  /** What may wait in one stream for a slow reader. */
  streamBacklogBytesMax: 262_144,
  /** Streams are ended now and then, so that load spreads over new replicas and pods prove themselves again. */
  streamLifetimeMs: 1_800_000,

  /** How long "no key" is believed by a sidecar. Setting one invalidates it sooner. */
  refusalTtlMs: 5_000,

  windowMs: 60_000,
  podsTrackedMax: 5_000,
  /** Different users that one pod may begin to serve in a minute; more looks like enumeration. */
  newSubjectsPerPodMax: 600,
  /** Signature checks of one pod at a time; a sidecar has fewer lease requests under way. */
  verificationsPerPodMax: 256,
  /** Questions to the API server about user tokens of one pod at a time, and those that wait for their turn. */
  reviewsPerPodMax: 32,
  reviewsWaitingPerPodMax: 512,
  /** Different tokens of one pod that the API server may refuse in a minute; then it is asked about no new one of that pod. */
  failedReviewsPerPodMax: 600,
  /** Tokens that the API server accepted lately pass while others of their pod are refused for too many failures. */
  goodCredentialsMax: 20_000,
  goodCredentialTtlMs: 600_000,
  /** Refusals of one source that are put on record in a minute; more are only counted, or they would fill the disk. */
  denialsRecordedPerSourceMax: 60,
  /** Of all of an organization. */
  denialsRecordedMax: 1_200,
  /** Organizations, and namespaces of pods that may not ask, that are counted apart. */
  recordGroupsMax: 1_000,
  /** The same for reported requests that were refused before a user was known; more are one count of the pod and minute. */
  refusalsRecordedPerPodMax: 60,
  refusalsRecordedMax: 1_200,
  /** How often counts are looked through for those whose minute is over. */
  refusalsSweepMs: 5_000,
  /** Pods whose refusals are counted; the one that reported none for longest is forgotten. */
  refusingPodsMax: 1_000,
  /** Counted requests of one pod that are known again when they are reported again: two batches. */
  repeatsKnownPerPodMax: 2 * auditBatchMax,
  /** How long a pod may tell what an upstream made of a key that it was given: a lease, and the longest call that is waited for. */
  receiptTtlMs: 600_000,
  /** How long others have to be refused too before a rejection is taken for the key's fault. */
  rejectionPatienceMs: 10_000,
  /** Rejections of two users that lie no further apart are seen as one event. */
  rejectionsTogetherMs: 60_000,
  rejectionMemoryMs: 600_000,
  rejectionSweepMs: 1_000,
  /** Marks that wait for the API server. */
  unmarkedRejectionsMax: 10_000,
  /** Servers with rejections, and users of each, that are remembered; the one unheard of for longest is forgotten. */
  rejectionServersMax: 1_000,
  rejectionUsersMax: 1_000,
  /** Counts that wait for the disk. */
  openCountsMax: 10_000,
} as const;
