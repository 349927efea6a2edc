/**
 * Version of the sidecar-broker contract. A broker of version N serves sidecars of N-2..N.
 * Sent by the sidecar in the `Mcp-Keyring-Contract` header of every call.
 */
export const contractVersion = 1;
export const contractVersionHeader = 'mcp-keyring-contract';
