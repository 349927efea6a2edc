/** Bounds of personal access tokens. */
export const accessTokenLimits = {
  /** Of one user in one namespace. */
  perUserMax: 20,
  serversMax: 32,
  titleCharsMax: 64,
  groupsMax: 256,
  groupCharsMax: 256,
  /** Longest life where the organization says nothing. */
  maxAgeMs: 90 * 86_400_000,
  /** How far `status.usedAt` may be behind. */
  usedAgainMs: 3_600_000,
  writesInFlightMax: 4,
} as const;
