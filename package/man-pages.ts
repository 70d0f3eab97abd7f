/** What man(1) shows: made from the tables that the programs read their command lines with. */
import { type FlagDoc, phraseOf } from "#proto/flag-doc.ts";
import type { CliTable, CommandTable, Described, NounTable } from "#swarmctl/cli-table.ts";
import { defaultConfigFile } from "#swarmd/config-file.ts";
import { commandDocs, configPath, settingDocs } from "#swarmd/flags.ts";
import {
  type Item,
  items,
  page,
  type PageOrigin,
  paragraph,
  section,
  seeAlso,
  subsection,
  synopsis,
  verbatim,
} from "./roff.ts";

/** By their paths below a folder of man pages: "man1/swarmctl.1". */
export function manPages(cli: CliTable, origin: PageOrigin): ReadonlyMap<string, string> {
  const commands = [...cli.nouns.flatMap(({ commands }) => commands), ...cli.commands];
  const pages: readonly (readonly [string, string])[] = [
    ["man1/swarmctl.1", clientPage(cli, origin)],
    ...cli.nouns.map((noun) => [pathOf(noun.name), nounPage(noun, origin)] as const),
    ...commands.map((command) => [pathOf(command.path), commandPage(command, origin)] as const),
    ["man8/swarmd.8", daemonPage(origin)],
    ["man5/swarmd.yml.5", configPage(origin)],
  ];
  return new Map(pages);
}

function nameOf(path: string): string {
  return `swarmctl-${path.replaceAll(" ", "-")}`;
}

function pathOf(path: string): string {
  return `man1/${nameOf(path)}.1`;
}

const exitStatus = section(
  "exit status",
  items([
    { term: "0", text: "done" },
    { term: "1", text: "failed" },
    { term: "2", text: "called wrongly" },
    { term: "130", text: "ended by Ctrl-C" },
  ]),
);

function clientPage({ everywhere, nouns, commands }: CliTable, origin: PageOrigin): string {
  const list = (some: readonly { readonly path: string; readonly summary: string }[]) =>
    items(some.map(({ path, summary }) => ({ term: `${nameOf(path)}(1)`, text: `${summary}.` })));
  return page(
    { name: "swarmctl", section: 1, summary: "Look after a cluster of containers" },
    origin,
    [
      section(
        "synopsis",
        `${synopsis("swarmctl", "[flags] NOUN VERB ...")}.br\n${synopsis("swarmctl", "[flags] COMMAND ...")}`,
      ),
      section(
        "description",
        paragraph(
          "Tells a manager of the cluster what is to run, and shows what runs: that on this host, or where a context or a flag says. Nouns, flags and defaults are those of Docker Swarm.",
        ),
      ),
      section("nouns", list(nouns.map(({ name, summary }) => ({ path: name, summary })))),
      section("commands", list(commands)),
      section("options", flagItems(everywhere)),
      section(
        "files",
        items([
          {
            term: "~/.config/swarm/contexts/",
            text: "how clusters are reached from here, with keys",
          },
          { term: "/run/swarm/", text: "the sockets of this host's swarmd and manager, for root" },
        ]),
      ),
      exitStatus,
      seeAlso(["swarmd(8)", "swarmd.yml(5)"]),
    ],
  );
}

function nounPage({ name, summary, aliases, commands }: NounTable, origin: PageOrigin): string {
  const verbs = commands.map((command) => ({
    term: `${nameOf(command.path)}(1)`,
    text: `${command.summary}.`,
  }));
  return page({ name: nameOf(name), section: 1, summary }, origin, [
    section("synopsis", synopsis(`swarmctl ${name}`, "VERB ...")),
    section("description", describe(summary, aliases)),
    section("verbs", items(verbs)),
    seeAlso(["swarmctl(1)"]),
  ]);
}

function commandPage(command: CommandTable, origin: PageOrigin): string {
  const { path, summary, aliases, usage, flagGroups } = command;
  const [noun = "", verb] = path.split(" ");
  const parents = verb === undefined ? [] : [`${nameOf(noun)}(1)`];
  const options = flagGroups.map(({ title, flags }) => subsection(title, flagItems(flags)));
  return page({ name: nameOf(path), section: 1, summary }, origin, [
    section("synopsis", synopsis(`swarmctl ${path}`, usage)),
    section("description", describe(summary, aliases)),
    section("arguments", flagItems(command.arguments)),
    section("options", options.join("")),
    exitStatus,
    seeAlso([...parents, "swarmctl(1)"]),
  ]);
}

function describe(summary: string, aliases: readonly string[]): string {
  const also = aliases.length === 0 ? "" : ` Also called ${aliases.join(", ")}.`;
  return paragraph(`${summary}.${also}`);
}

function flagItems(rows: readonly Described[]): string {
  return items(rows.map(({ name, about }) => ({ term: name, text: about })));
}

function daemonPage(origin: PageOrigin): string {
  return page(
    { name: "swarmd", section: 8, summary: "One host of a cluster of containers" },
    origin,
    [
      section("synopsis", synopsis("swarmd", "[OPTION]...")),
      section(
        "description",
        paragraph(
          "Runs the containers that managers want on this host and, where the host is a manager, the manager. Containers go on when swarmd ends, and are found again when it starts. Under systemd it is swarmd.service.",
        ),
      ),
      section("options", items([...settingDocs, ...commandDocs].map(optionItem))),
      section(
        "signals",
        items([
          { term: "SIGHUP", text: "reads the configuration file again" },
          { term: "SIGTERM, SIGINT", text: "ends swarmd and its manager; containers go on" },
        ]),
      ),
      section(
        "files",
        items([
          { term: configPath, text: "the configuration, see swarmd.yml(5)" },
          { term: "/var/lib/swarm/", text: "what must survive a reboot" },
          { term: "/run/swarm/", text: "sockets, and what need not survive" },
          { term: "/usr/lib/swarm/", text: "the programs, and the Node that runs them" },
        ]),
      ),
      seeAlso(["swarmctl(1)", "swarmd.yml(5)"]),
    ],
  );
}

function optionItem(doc: FlagDoc): Item {
  return { term: `--${doc.name} ${doc.argument}`.trimEnd(), text: phraseOf(doc) };
}

function configPage(origin: PageOrigin): string {
  return page({ name: "swarmd.yml", section: 5, summary: "The configuration of swarmd" }, origin, [
    section("synopsis", paragraph(configPath)),
    section(
      "description",
      paragraph(
        "A map in YAML. Each key is a flag of swarmd(8); a flag on the command line wins over the file. A key that is not known is refused.",
      ),
    ),
    section(
      "keys",
      items(
        settingDocs.map((doc) => ({ term: `${doc.name}: ${doc.argument}`, text: phraseOf(doc) })),
      ),
    ),
    section("the file as it is installed", verbatim(defaultConfigFile())),
    seeAlso(["swarmd(8)"]),
  ]);
}
