import type { Layer, OutgoingRequest } from '../exchange.ts';

/** Puts the user's key into its headers. Whatever is there is replaced. */
export function attach(): Layer<OutgoingRequest> {
  return (inner) =>
    function attachKey(request) {
      const { permission, outgoing } = request;
      if (permission.decision === 'granted')
        for (const { name, value } of permission.headers) outgoing.set(name, value);
      return inner(request);
    };
}
