/** Bounds of everything that identification keeps, waits for or reads. */
export const identityLimits = {
  /** The API server caches its own token checks for as long: revocation takes no longer than this through us. */
  tokenReviewTtlMs: 10_000,
  tokenReviewsCachedMax: 20_000,
  tokenReviewsInFlightMax: 256,
  tokenReviewTimeoutMs: 5_000,

  issuersMax: 256,
  issuerTimeoutMs: 5_000,
  issuerHeaderBytesMax: 16_384,
  discoveryBytesMax: 65_536,
  keySetBytesMax: 262_144,
  keySetKeysMax: 100,
  /** Keys are asked for again after this age. */
  keySetAgeMsMax: 600_000,
  /** Least time between two requests for keys because of their age. */
  keySetCooldownMs: 30_000,
  /**
   * Requests for keys because of an unknown `kid`: so many at once, and one more after each cooldown. More than one, because a new
   * key may be published a moment after we asked, and its first token must not be refused for that.
   */
  unknownKeyAsksMax: 4,
  /** Least time between two of them. */
  unknownKeySpacingMs: 500,
  /** The same while we hold no keys at all, so that an issuer that comes back is used soon. */
  keySetRetryMs: 5_000,
  /** How long keys go on working while the issuer cannot be reached; then nobody of that issuer is identified. */
  keySetStaleMsMax: 14_400_000,
  /** Tokens with an unknown `kid` that may wait for an issuer at a time; strangers can make any number of them. */
  unknownKeyWaitsMax: 64,

  /** How long a verified token is not verified again, as long as its issuer's keys stay the same and it has not ended. */
  verifiedTokenTtlMs: 60_000,
  verifiedTokensMax: 20_000,

  clockToleranceSeconds: 60,
  subjectIdCharsMax: 256,
  subjectNameCharsMax: 256,
  /** A token with more is refused: one that is left out could be the one that a policy is about. */
  groupsMax: 256,
  /** As long as a policy can name one. */
  groupCharsMax: 256,
  groupPathPartsMax: 8,
} as const;
