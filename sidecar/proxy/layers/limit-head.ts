import type { Bounds } from '../bounds-in-force.ts';
import { bodyTooLarge, ProxyError } from '../errors.ts';
import type { IncomingRequest, Layer } from '../exchange.ts';

/** Most header fields of one request. The HTTP parser bounds the bytes of the head (16 KiB). */
export const headerFieldsMax = 100;

/** Refuses what the head alone shows to be too large, before anything is done for it. */
export function limitHead(bounds: () => Pick<Bounds, 'bodyBytesMax'>): Layer<IncomingRequest> {
  return (inner) =>
    function limitRequestHead(request) {
      let fields = 0;
      request.headers.forEach(() => (fields += 1));
      if (fields > headerFieldsMax) throw new ProxyError('HeadTooLarge', `More than ${headerFieldsMax} header fields.`);
      const { bodyBytesMax } = bounds();
      if ((request.body.declaredBytes ?? 0) > bodyBytesMax) throw bodyTooLarge(bodyBytesMax);
      return inner(request);
    };
}
