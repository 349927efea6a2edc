import type { KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { TokenReview } from '#operator/kube/resources.ts';

type Asked = { readonly token: string; readonly audiences: readonly string[] };
type Status = TokenReview['status'];

/** The part of an API server that answers TokenReviews, and what it was asked. */
export interface FakeReviews extends Pick<KubeClient, 'review'> {
  readonly asked: Asked[];
}

export function fakeReviews(answer: (asked: Asked) => Status | Promise<Status>): FakeReviews {
  const asked: Asked[] = [];
  return {
    asked,
    async review<T extends KubeObject>(_type: unknown, object: object): Promise<T> {
      const { spec } = object as TokenReview;
      const question = { token: spec.token, audiences: spec.audiences ?? [] };
      asked.push(question);
      return { ...object, status: await answer(question) } as unknown as T;
    },
  };
}

/** A JWT that nobody signed, for what is read before or without verification. */
export function unsignedJwt(claims: object, header: object = { alg: 'RS256', kid: 'none' }): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(claims)}.${Buffer.alloc(64).toString('base64url')}`;
}
