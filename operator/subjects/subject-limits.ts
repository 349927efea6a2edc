/** Bounds of what is remembered about users. */
export const subjectLimits = {
  groupsMax: 256,
  /** How old `seenAt` gets while the user goes on being seen and nothing changes. */
  seenAgainMs: 86_400_000,
  /** Least time between two writes about the key of a user. */
  writeSpacingMs: 60_000,
  writesInFlightMax: 4,
  /** Keys whose last write is remembered. */
  keysTrackedMax: 20_000,
} as const;
