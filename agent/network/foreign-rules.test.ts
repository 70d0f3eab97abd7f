import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { readForeignRules, removalLines } from "./foreign-rules.ts";

const docker = (...rules: string[]) => `\
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter packets 7 bytes 99 jump DOCKER-USER
	}

	chain DOCKER-USER {
${rules.map((rule) => `\t\t${rule}\n`).join("")}	}
}
`;

describe("readForeignRules()", () => {
  test("lets our links through Docker's chain, behind the user's rules and before the return", () => {
    const own = 'iifname "eth0" ip saddr 192.0.2.9 counter packets 0 bytes 0 drop';
    const ruleset = docker(own, "counter packets 0 bytes 0 return");
    assert.deepEqual(readForeignRules(ruleset), {
      docker: [
        {
          program: "iptables",
          lines: [
            "-I DOCKER-USER 2 -i swv-+ -m comment --comment swarm -j ACCEPT",
            "-I DOCKER-USER 2 -o swv-+ -m comment --comment swarm -j ACCEPT",
            "-I DOCKER-USER 2 -i sw-vx+ -m comment --comment swarm -j ACCEPT",
            "-I DOCKER-USER 2 -o sw-vx+ -m comment --comment swarm -j ACCEPT",
          ],
        },
      ],
      obstacles: [],
    });
  });

  test("adds only what is missing, and nothing where all stands", () => {
    const some = docker('iifname "swv-*"  counter packets 3 bytes 4 accept');
    const [table] = readForeignRules(some).docker;
    assert.equal(table?.lines.length, 3);
    assert.match(table?.lines[0] ?? "", /^-A DOCKER-USER -o swv-\+ /);
    const all = ['iifname "swv-*"', 'oifname "swv-*"', 'iifname "sw-vx*"', 'oifname "sw-vx*"'];
    assert.deepEqual(readForeignRules(docker(...all.map((rule) => `${rule} accept`))), {
      docker: [],
      obstacles: [],
    });
  });

  test("leaves Docker's chain alone where nothing is dropped", () => {
    const open = docker().replace("policy drop", "policy accept");
    assert.deepEqual(readForeignRules(open), { docker: [], obstacles: [] });
  });

  test("names what else drops, with the command that heals it", () => {
    const forward = docker().replace(/\n\tchain DOCKER-USER \{\n\t\}\n/, "");
    const [obstacle] = readForeignRules(forward).obstacles;
    assert.match(
      obstacle ?? "",
      /^chain FORWARD of table ip filter .*iptables -I FORWARD -i swv-\+/,
    );
    const firewall = `\
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		reject with icmpx admin-prohibited
	}
	chain filter_INPUT {
		type filter hook input priority filter + 10; policy accept;
		reject with icmpx admin-prohibited
	}
}
`;
    const { obstacles } = readForeignRules(firewall);
    assert.equal(obstacles.length, 2);
    assert.match(obstacles[0] ?? "", /firewall-cmd .*v-\+/);
    assert.match(obstacles[1] ?? "", /4789/);
    const healed = firewall
      .replace(
        "ct state",
        'iifname { "swv-*", "sw-vx0" } accept\n\t\toifname { "swv-*" } accept\n\t\tct state',
      )
      .replace("filter_INPUT {\n", "filter_INPUT {\n\t\tudp dport { 4789, 51820 } accept\n");
    assert.deepEqual(readForeignRules(healed).obstacles, []);
  });

  test("is about tables of others, and takes any text", () => {
    const own = docker().replace("table ip filter", "table inet swarm");
    assert.deepEqual(readForeignRules(own), { docker: [], obstacles: [] });
    const lines = fc.constantFrom("table ip filter {", "\tchain FORWARD {", "\t}", "}", "\t\tdrop");
    fc.assert(
      fc.property(fc.array(fc.oneof(lines, fc.string())), (text) => {
        assert.doesNotThrow(() => readForeignRules(text.join("\n")));
      }),
    );
  });
});

test("removalLines() are those of our own rules", () => {
  const listing = `\
-N DOCKER-USER
-A DOCKER-USER -i swv-+ -m comment --comment swarm -j ACCEPT
-A DOCKER-USER -i swv-+ -j ACCEPT
-A DOCKER-USER -j RETURN
`;
  assert.deepEqual(removalLines(listing), [
    "-D DOCKER-USER -i swv-+ -m comment --comment swarm -j ACCEPT",
  ]);
});
