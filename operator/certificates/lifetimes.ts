/** How long certificates live and how early they are replaced; tests run the same rules in seconds. */
export interface CertificateLifetimes {
  readonly caLifeMs: number;
  readonly leafLifeMs: number;
  /** Certificates begin this long before they are made, for clients whose clocks are behind. */
  readonly backdateMs: number;
  /**
   * How long a new CA has to stand in every published bundle before it signs: kubelets bring a changed ConfigMap into pods within two
   * minutes, sidecars read the file once a minute.
   */
  readonly publishSettleMs: number;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

export const defaultLifetimes: CertificateLifetimes = {
  caLifeMs: 365 * dayMs,
  leafLifeMs: 7 * dayMs,
  backdateMs: 10 * minuteMs,
  publishSettleMs: 10 * minuteMs,
};

/** A CA is replaced when this part of its life is over. */
export const caRenewFraction = 2 / 3;
/** A leaf is replaced when this part of its life is left, or up to `leafJitterFraction` of its life earlier. */
export const leafLeftFraction = 1 / 3;
export const leafJitterFraction = 1 / 20;
