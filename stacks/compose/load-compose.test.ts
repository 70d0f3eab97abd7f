import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import type { ComposeFile, ServiceEntry } from "./compose-file.ts";
import { loadCompose } from "./load-compose.ts";
import { printCompose } from "./print-compose.ts";

interface Given {
  readonly environment?: Readonly<Record<string, string>>;
  readonly profiles?: readonly string[];
}

/** The first file, and those that begin with "over" merged over it; all lie in /app. */
function load(files: Readonly<Record<string, string>> | string, given: Given = {}): ComposeFile {
  const all = typeof files === "string" ? { "stack.yml": files } : files;
  const byPath = new Map(Object.entries(all).map(([file, text]) => [join("/app", file), text]));
  const inputs = Object.entries(all).filter(([file], at) => at === 0 || file.startsWith("over"));
  return loadCompose(
    inputs.map(([file, text]) => ({ file, text })),
    {
      folder: "/app",
      environment: given.environment ?? {},
      ...(given.profiles !== undefined && { profiles: given.profiles }),
      readText: (path) => {
        const text = byPath.get(path);
        if (text !== undefined) return text;
        throw new Fault("not-found", `Cannot read "${path}": no such file`);
      },
    },
  );
}

function web(files: Readonly<Record<string, string>> | string, given?: Given): ServiceEntry {
  const entry = load(files, given).content.services["web"];
  assert(entry !== undefined);
  return entry;
}

function refusal(files: Readonly<Record<string, string>> | string, given?: Given): string {
  try {
    load(files, given);
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
    return thrown.message;
  }
  assert.fail("nothing was refused");
}

const oneWeb = (...lines: readonly string[]) =>
  ["services:", "  web:", "    image: a", ...lines.map((line) => `    ${line}`)].join("\n");

describe("the variables of a stack file", () => {
  it("come from .env beside it, and from the shell before that", () => {
    const files = { "stack.yml": oneWeb("hostname: $A-$B"), ".env": "A=file\nB=file\n" };
    assert.equal(web(files, { environment: { A: "shell" } }).hostname, "shell-file");
  });

  it("are told where they are not set, once each", () => {
    const { warnings } = load(oneWeb("hostname: $A", "user: $A$B"));
    assert.deepEqual(warnings, [
      'stack.yml:4:15: services.web.hostname names the variable "A", which is not set: it stands for nothing',
      'stack.yml:5:11: services.web.user names the variable "B", which is not set: it stands for nothing',
    ]);
  });

  it("are refused with their place where they are required", () => {
    assert.equal(
      refusal(oneWeb("labels:", "  a: ${B:?set B}")),
      'stack.yml:5:10: services.web.labels.a needs the variable "B": set B',
    );
    assert.match(refusal({ "stack.yml": oneWeb(), ".env": "A=$" }), /^\/app\/\.env:1 holds "\$"/);
  });

  it("become numbers and booleans where the format has them, or are refused there", () => {
    const file = oneWeb("init: $FLAG", "deploy: {replicas: $COUNT}");
    const { init, deploy } = web(file, { environment: { FLAG: "Yes", COUNT: "007" } });
    assert.deepEqual([init, deploy?.replicas], [true, 7]);
    assert.equal(
      refusal(file, { environment: { FLAG: "on", COUNT: "1.5" } }),
      "stack.yml:5:14: services.web.deploy.replicas must be a whole number of 0 or more",
    );
  });
});

describe("env files", () => {
  it("are under the environment, later ones over earlier ones", () => {
    const files = {
      "stack.yml": oneWeb("env_file: [a.env, {path: b.env, format: raw}]", "environment: {C: own}"),
      "a.env": "A='1'\nB=a\nC=a\n",
      "b.env": "B='b'\n",
    };
    assert.deepEqual(web(files).environment, { A: "1", B: "'b'", C: "own" });
  });

  it("may be missing only where the file says so", () => {
    const optional = oneWeb("env_file: [{path: no.env, required: false}]");
    assert.deepEqual(web(optional).environment, {});
    assert.equal(
      refusal(oneWeb("env_file: no.env")),
      'stack.yml:4:15: services.web.env_file is refused: Cannot read "/app/no.env": no such file',
    );
  });
});

describe("a bind mount", () => {
  it("is of the file's folder, of the user's, or absolute", () => {
    const { volumes } = web(oneWeb("volumes: [./a:/a, ~/b:/b, /c:/c]"), {
      environment: { HOME: "/home/u" },
    });
    assert.deepEqual(
      volumes?.map(({ source }) => source),
      ["/app/a", "/home/u/b", "/c"],
    );
    assert.match(
      refusal(oneWeb("volumes: [~/b:/b]")),
      /4:15: .*volumes\.0\.source is "~\/b": write a path/,
    );
    assert.match(
      refusal(oneWeb("volumes: [{type: bind, source: '', target: /x}]")),
      /4:36: .*volumes\.0\.source is empty/,
    );
  });
});

describe("several files", () => {
  it("are merged service by service, with places of the file that says it", () => {
    const files = {
      "stack.yml": oneWeb("ports: ['80:80', '90:90']", "labels: [a=1]"),
      "over.yml":
        "services:\n  web:\n    labels: {b: 2}\n    ports: ['90:91']\n    volumes: [no:/x:q]\n",
    };
    assert.equal(
      refusal(files),
      'over.yml:5:15: services.web.volumes.0 has the mode "q", which has no meaning',
    );
  });

  it("say with !reset what is not there any more, and with !override what is not merged", () => {
    const files = {
      "stack.yml": `${oneWeb("dns: [a]", "user: u", "labels: {a: '1', b: '2'}", "deploy: {replicas: 2}")}\nnetworks: {n: }`,
      "over.yml":
        "services: {web: {dns: !override [b], user: !reset , labels: {a: !reset null}, deploy: !reset null}}\nnetworks: !reset {}",
    };
    const { content } = load(files);
    assert.deepEqual(content.services["web"], { image: "a", dns: ["b"], labels: { b: "2" } });
    assert.equal(content.networks, undefined);
  });

  it("say in place of earlier ones how a service reads a file, which it may read twice", () => {
    const read = (...items: string[]) => oneWeb(`secrets: [${items.join(", ")}]`);
    const files = {
      "stack.yml": read("s", "{source: t, target: t1}", "{source: t, target: t2}"),
      "over.yml": read("{source: s, target: s2}", "u"),
    };
    assert.deepEqual(
      web(files).secrets?.map(({ source, target }) => target ?? source),
      ["s2", "t1", "t2", "u"],
    );
  });

  it("replace what they say is external, and merge the rest at the top", () => {
    const files = {
      "stack.yml": "secrets: {s: {file: x, labels: [a=b]}}\nnetworks: {n: {driver: overlay}}",
      "over.yml": "secrets: {s: {external: true}}\nnetworks: {n: {attachable: true}}",
    };
    const { secrets, networks } = load(files).content;
    assert.deepEqual(secrets, { s: { external: true, name: "s" } });
    assert.deepEqual(networks, { n: { driver: "overlay", attachable: true } });
  });
});

describe("extends", () => {
  it("takes a service of the file or of another one, whose paths count from there", () => {
    const files = {
      "stack.yml":
        "services:\n  web:\n    extends: {file: base/b.yml, service: web}\n    environment: {A: own}\n",
      "base/b.yml":
        "services:\n  web: {extends: root, env_file: b.env, volumes: [./d:/d]}\n  root: {image: r, dns: [x]}\n",
      "base/b.env": "A=file\nB=file\n",
    };
    assert.deepEqual(web(files), {
      image: "r",
      dns: ["x"],
      environment: { A: "own", B: "file" },
      volumes: [{ type: "bind", source: "/app/base/d", target: "/d" }],
    });
  });

  it("is refused in a circle, and of what is not there", () => {
    const circle =
      "services:\n  web: {image: a, extends: b}\n  b: {extends: c}\n  c: {extends: web}\n";
    assert.equal(
      refusal(circle),
      "stack.yml:2:28: services.web.extends goes in a circle: web → b → c → web",
    );
    assert.match(
      refusal(oneWeb("extends: no")),
      /extends names the service "no", which stack\.yml does not define/,
    );
    assert.equal(
      refusal(oneWeb("extends: {service: a, file: no.yml}")),
      'stack.yml:4:33: services.web.extends.file is refused: Cannot read "/app/no.yml": no such file',
    );
  });

  it("is bounded, however long the chain is", () => {
    const chain = Array.from({ length: 20_000 }, (_, at) => `  s${at}: {extends: s${at + 1}}\n`);
    assert.equal(
      refusal(`services:\n${chain.join("")}  s20000: {image: a}\n`),
      "stack.yml:102:19: services.s100.extends is a chain of more than 100 services",
    );
  });
});

describe("include", () => {
  it("brings in files with folders and variables of their own; the file's own words win", () => {
    const files = {
      "stack.yml":
        "include:\n  - parts/a.yml\n  - {path: [parts/b.yml, parts/c.yml], project_directory: ., env_file: b.env}\nservices: {a: {user: own}}\n",
      "parts/a.yml": "services: {a: {image: $NAME, user: u, volumes: [./x:/x]}}",
      "parts/.env": "NAME=inner",
      "parts/b.yml": "services: {b: {image: $NAME, volumes: [./x:/x]}}",
      "parts/c.yml": "services: {b: {hostname: h}}",
      "b.env": "NAME=outer",
    };
    const { a, b } = load(files).content.services;
    assert.deepEqual(
      [a?.image, a?.user, a?.volumes?.[0]?.source],
      ["inner", "own", "/app/parts/x"],
    );
    assert.deepEqual([b?.image, b?.hostname, b?.volumes?.[0]?.source], ["outer", "h", "/app/x"]);
  });

  it("is refused in a circle", () => {
    const files = {
      "stack.yml": "include: [a.yml]\n",
      "a.yml": "include: [b.yml]\n",
      "b.yml": "include: [a.yml]\n",
    };
    assert.match(refusal(files), /^\/app\/b\.yml:1:11: include\.0 goes in a circle/);
  });

  it("is bounded, also where no circle is", () => {
    const files = Object.fromEntries(
      Array.from({ length: 12 }, (_, at) => {
        const next = `./${at + 1}.yml`;
        return [`${at}.yml`, `include: [${next}, ${next}]\n`];
      }),
    );
    assert.match(
      refusal({ "stack.yml": "include: [0.yml]", ...files, "12.yml": "services: {}" }),
      /more than 500 files/,
    );
  });
});

describe("profiles", () => {
  const file = "services: {web: {image: a}, debug: {image: b, profiles: [debug, all]}}";
  const names = (given?: Given) => Object.keys(load(file, given).content.services);

  it("leave out services that nobody asks for", () => {
    assert.deepEqual(names(), ["web"]);
    assert.deepEqual(names({ profiles: ["other"] }), ["web"]);
    assert.deepEqual(names({ profiles: ["debug"] }), ["web", "debug"]);
    assert.deepEqual(names({ profiles: ["*"] }), ["web", "debug"]);
    assert.deepEqual(names({ environment: { COMPOSE_PROFILES: "x, all" } }), ["web", "debug"]);
  });
});

describe("a service that waits for one of other profiles", () => {
  const file = (more: string) =>
    `services:\n  web:\n    image: a\n    depends_on: {db: {condition: service_started${more}}}\n  db: {image: b, profiles: [x, y]}\n`;

  it("is refused, but where the other need not be there", () => {
    assert.equal(
      refusal(file("")),
      "stack.yml:4:18: services.web.depends_on.db names a service of profiles that nobody asked for: x, y",
    );
    assert.deepEqual(Object.keys(load(file(", required: false")).content.services), ["web"]);
    assert.deepEqual(Object.keys(load(file(""), { profiles: ["y"] }).content.services).length, 2);
  });
});

describe("a part of the file that holds nothing", () => {
  it("is as if it were not there", () => {
    const { content } = load("services: {web: {image: a, deploy: }}\nnetworks:\nvolumes:\n");
    assert.deepEqual(content, { services: { web: { image: "a" } } });
  });
});

describe("what a cluster does not do", () => {
  it("is told of labels of SELinux in short volumes", () => {
    const { warnings } = load(oneWeb("volumes: ['/a:/a:ro,Z', '/b:/b:ro']"));
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? "",
      /^stack\.yml:4:15: services\.web\.volumes\.0: Z is not heeded: no container is confined by SELinux/,
    );
  });

  it("is told of, where leaving it out changes nothing that matters", () => {
    const { warnings } = load(
      `name: n\n${oneWeb("build: .", "container_name: c", "restart: always", "deploy: {restart_policy: {}}")}`,
    );
    assert.deepEqual(warnings, [
      "stack.yml:1:1: name is not heeded: the command says what the stack is called",
      "stack.yml:5:5: services.web.build is not heeded: a cluster runs images: build it, push it, and name it in image",
      "stack.yml:6:5: services.web.container_name is not heeded: tasks are called SERVICE.SLOT.ID",
      "stack.yml:7:5: services.web.restart is not heeded: deploy.restart_policy says it already",
    ]);
  });

  it("is told of, where others have made something", () => {
    const { warnings } = load("volumes: {v: {external: true, driver: x}, w: {driver: x}}");
    assert.deepEqual(warnings, [
      "stack.yml:1:31: volumes.v.driver is not heeded: it is external, and as others have made it",
    ]);
    assert.equal(
      refusal("secrets: {s: {name: a, external: {name: b}}}"),
      "stack.yml:1:24: secrets.s has two names: write the name beside external alone",
    );
  });

  it("is told of, where a key of ours is misspelt; others with x- are anybody's", () => {
    const { warnings } = load(oneWeb("x-anything: 1", "deploy: {x-shedule: '* * * * *'}"));
    assert.deepEqual(warnings, [
      "stack.yml:5:14: services.web.deploy.x-shedule is not heeded: did you mean x-schedule?",
    ]);
  });

  const refused: readonly [line: string, why: RegExp][] = [
    [
      "network_mode: container:x",
      /4:5: services\.web\.network_mode is not possible: tasks share no network/,
    ],
    ["volumes_from: [x]", /4:5: services\.web\.volumes_from is not possible: define the volume/],
    ["volume_driver: x", /4:5: services\.web\.volume_driver is not possible/],
    ["enviroment: {}", /4:5: services\.web\.enviroment is not known: did you mean environment\?/],
    [
      "deploy: {replica: 1}",
      /4:14: services\.web\.deploy\.replica is not known: did you mean replicas\?/,
    ],
    ["zzz: 1", /4:5: services\.web\.zzz is not known$/],
  ];
  for (const [line, why] of refused) {
    it(`is refused: ${line}`, () => assert.match(refusal(oneWeb(line)), why));
  }
});

describe("a loaded file", () => {
  const anything = fc.json({ depthSize: "small" });
  const key = fc.constantFrom(
    ..."ports volumes secrets environment labels deploy healthcheck networks depends_on extends env_file".split(
      " ",
    ),
    ..."ulimits extra_hosts command logging devices dns configs x-a profiles sysctls tmpfs".split(
      " ",
    ),
  );

  it("throws nothing but Faults, whatever stands where", () => {
    fc.assert(
      fc.property(anything, key, anything, (json, name, other) => {
        const text = `{"services":{"web":{"${name}":${json}}},"networks":{"n":${other}}}`;
        const over = `{"services":{"web":{"${name}":${other}}}}`;
        for (const files of [{ "a.yml": text }, { "a.yml": over, "over.yml": text }]) {
          try {
            load(files);
          } catch (thrown) {
            if (!(thrown instanceof Fault)) throw thrown;
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  const word = fc.constantFrom("a", "b$$c", "0440", "yes", "{{.Node.ID}}", " x ", "#", "é", "");
  const words = fc.array(word, { maxLength: 3 });
  const pairs = fc.oneof(
    fc.dictionary(
      fc.constantFrom("A", "B", "C.d"),
      fc.oneof(word, fc.integer(), fc.constant(null)),
    ),
    words.map((values) => values.map((value, at) => `K${at}=${value}`)),
  );
  const port = fc.integer({ min: 1, max: 9999 });
  const files = fc.array(
    fc.oneof(
      fc.constantFrom("s", "t"),
      fc.record({ source: fc.constantFrom("s", "t"), target: word }),
    ),
    { maxLength: 3 },
  );
  const entry = fc.record(
    {
      image: fc.constantFrom("a", "b"),
      command: fc.oneof(words, fc.constantFrom("a 'b c'", "x $$Y", null)),
      environment: pairs,
      labels: pairs,
      ports: fc.array(
        fc.oneof(
          port,
          port.map((at) => `${at}:80/udp`),
          fc.record({ target: port, published: port }),
        ),
        { maxLength: 3 },
      ),
      volumes: fc.array(fc.constantFrom("v:/a", "./x:/b:ro", "/c", "/d:/d:rslave"), {
        maxLength: 3,
      }),
      secrets: files,
      dns: fc.oneof(word, words),
      tty: fc.boolean(),
      deploy: fc.record({ replicas: fc.nat(9), labels: pairs }, { requiredKeys: [] }),
      healthcheck: fc.record({
        test: fc.oneof(word, words),
        interval: fc.constantFrom("90s", "1.5h"),
      }),
      networks: fc.oneof(fc.constant(["n"]), fc.constant({ n: null, m: { aliases: ["x"] } })),
    },
    { requiredKeys: ["image"] },
  );
  const stack = entry.map((service) => JSON.stringify({ services: { web: service } }));

  it("is the same when it is printed and read again, also merged", () => {
    fc.assert(
      fc.property(stack, stack, (base, over) => {
        const once = printCompose(load({ "a.yml": base, "over.yml": over }).content, {
          escape: true,
        });
        assert.equal(printCompose(load(once).content, { escape: true }), once);
      }),
      { numRuns: 300 },
    );
  });

  it("is the same beside a file that says nothing, and another file's words win", () => {
    fc.assert(
      fc.property(stack, stack, (base, over) => {
        const nothing = '{"services": {"web": {}}}';
        const alone = load(base).content;
        assert.deepEqual(load({ "a.yml": base, "over.yml": nothing }).content, alone);
        assert.deepEqual(load({ "a.yml": nothing, "over.yml": base }).content, alone);
        const above = web(over);
        const merged = web({ "a.yml": base, "over.yml": over });
        assert.equal(merged.image, above.image);
        if (above.tty !== undefined) assert.equal(merged.tty, above.tty);
        for (const [name, value] of Object.entries(above.environment ?? {})) {
          if (value !== null) assert.equal(merged.environment?.[name], value);
        }
      }),
      { numRuns: 300 },
    );
  });
});
