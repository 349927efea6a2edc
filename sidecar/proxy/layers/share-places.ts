import type { IdentifiedRequest, Layer } from '../exchange.ts';
import { shareOf, type UserShares } from '../user-shares.ts';

/** Keeps one user from having so many requests and streams under way that there is no place for those of others. */
export function sharePlaces(places: UserShares): Layer<IdentifiedRequest> {
  return (inner) =>
    function takePlaceOfUser(request) {
      const { record } = request;
      const user = shareOf(record.subject);
      places.take(user, 1);
      record.whenEnded.push(() => places.giveBack(user, 1));
      return inner(request);
    };
}
