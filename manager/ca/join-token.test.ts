import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { parseJoinToken } from "#proto/join-token.ts";
import { newJoinToken, newJoinTokens, roleOfToken } from "./join-token.ts";

const digest = "d".repeat(50);

test("join token, what is made is parsed into its parts", () => {
  const token = newJoinToken(digest, systemRandom);
  assert.match(token, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  const { rootDigest, secret } = parseJoinToken(token);
  assert.deepEqual([rootDigest, secret], [digest, token.slice(-25)]);
});

test("join token, grants its role; each wrong one is refused for what is wrong with it", () => {
  const joinTokens = newJoinTokens(digest, systemRandom);
  const cluster = create(ClusterSchema, { rootCa: { joinTokens } });
  assert.equal(roleOfToken(joinTokens.worker, cluster), NodeRole.WORKER);
  assert.equal(roleOfToken(joinTokens.manager, cluster), NodeRole.MANAGER);
  const refuses = (token: string, code: string, message: RegExp) =>
    assert.throws(
      () => roleOfToken(token, cluster),
      (thrown: unknown) => {
        assert(thrown instanceof Fault);
        assert.equal(thrown.code, code);
        assert.match(thrown.message, message);
        // Nothing of the right ones, nor of what was shown.
        for (const secret of [joinTokens.worker, joinTokens.manager, token]) {
          assert(!thrown.message.includes(secret.slice(-25)));
        }
        return true;
      },
    );
  const other = newJoinToken("e".repeat(50), systemRandom);
  refuses(other, "permission-denied", /of another cluster, or of a root certificate that/);
  const rotated = newJoinToken(digest, systemRandom);
  refuses(rotated, "permission-denied", /no token of this cluster: it may have been rotated/);
  refuses("SWMTKN-1-x", "invalid-argument", /malformed/);
});

test("join token, any other text is refused as malformed", () => {
  const refuses = (text: string) =>
    assert.throws(
      () => parseJoinToken(text),
      (thrown: unknown) =>
        thrown instanceof Fault &&
        thrown.code === "invalid-argument" &&
        thrown.message.startsWith("the join token is malformed"),
    );
  const token = newJoinToken(digest, systemRandom);
  for (const text of ["", "SWMTKN-1-a-b", token.slice(1), `${token}0`, `${token}\n`]) refuses(text);
  fc.assert(fc.property(fc.string(), refuses));
});
