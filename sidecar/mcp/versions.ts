/** The first revision without handshake and sessions, and the newest one whose header rules are known here. */
export const firstModernVersion = '2026-07-28';

/** Revisions are dates, so their texts compare like them. */
export function isModernVersion(version: string): boolean {
  return version >= firstModernVersion;
}
