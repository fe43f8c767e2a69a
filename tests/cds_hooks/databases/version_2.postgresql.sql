-- A database of schema version 2, written by the program of that time under two keys:
-- two cards with explanation, suggestion, feedback and audit lines, the second half after a rotation.
CREATE TABLE audit (
    sequence integer NOT NULL,
    at character varying(40) NOT NULL,
    event character varying(32) NOT NULL,
    facts text NOT NULL,
    key_id character varying(16) NOT NULL,
    previous character varying(64) NOT NULL,
    signature character varying(64) NOT NULL
);
CREATE TABLE audit_head (
    sequence integer NOT NULL,
    seal character varying(64) NOT NULL
);
CREATE TABLE cards (
    card_uuid character varying(36) NOT NULL,
    created_s double precision NOT NULL,
    service_id character varying(64) NOT NULL,
    hook_instance character varying(64) NOT NULL,
    issuer text NOT NULL,
    patient character varying(64) NOT NULL,
    indicator character varying(16) NOT NULL,
    model text NOT NULL,
    drivers text NOT NULL,
    shown boolean NOT NULL
);
CREATE TABLE explanations (
    card_uuid character varying(36) NOT NULL,
    created_s double precision NOT NULL,
    expires_s double precision NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE feedback (
    fingerprint character varying(64) NOT NULL,
    received_s double precision NOT NULL,
    service_id character varying(64) NOT NULL,
    issuer text NOT NULL,
    card_uuid character varying(128) NOT NULL,
    known_card boolean NOT NULL,
    outcome character varying(16) NOT NULL,
    outcome_timestamp character varying(64) NOT NULL,
    accepted text NOT NULL,
    reason_code text,
    reason_system text,
    comment bytea,
    known_suggestions boolean DEFAULT false NOT NULL
);
CREATE TABLE lasting_secrets (
    name character varying(64) NOT NULL,
    secret bytea NOT NULL
);
CREATE TABLE meam_schema (
    version integer NOT NULL
);
CREATE SEQUENCE meam_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE meam_schema_version_seq OWNED BY meam_schema.version;
CREATE TABLE replays (
    fingerprint character varying(64) NOT NULL,
    expires_s double precision NOT NULL
);
CREATE TABLE shown_findings (
    fingerprint character varying(64) NOT NULL,
    shown_s double precision NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE suggestions (
    suggestion_uuid character varying(36) NOT NULL,
    card_uuid character varying(36) NOT NULL
);
ALTER TABLE ONLY meam_schema ALTER COLUMN version SET DEFAULT nextval('meam_schema_version_seq'::regclass);
INSERT INTO audit VALUES (1, '2026-11-23T12:00:00+00:00', 'database created', '{"schema":2}', '811d0da4e1ba', '0000000000000000000000000000000000000000000000000000000000000000', '1d603aeb1f0bcdea9cbdd9877cfe6ed42c4aa165c9e030cf1963a93ab87b9f5f');
INSERT INTO audit VALUES (2, '2026-11-23T12:00:00+00:00', 'hook answered', '{"n":0}', '811d0da4e1ba', '47c026f84b9b828360373556b751dbb3d8c171019c504a0cb07bb5e0a6171b63', '738452e9494dc416e3115fc0c4719efa13c390d38a7e46f6235ff569e292ce09');
INSERT INTO audit VALUES (3, '2026-11-23T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', '811d0da4e1ba', '088103e6d61990deb589d965c90726e82e33425ae24a4aa55a84679a183d25e6', '51f227d701d10b2ad5d01264c112664a48d1bfb791cefe4cb6a4ab2157ebed37');
INSERT INTO audit VALUES (4, '2026-11-24T12:00:00+00:00', 'hook answered', '{"n":1}', 'cbd69c38af1c', '6d3afa040e8e8a881caed5c6321441ddce2060baceaaa9182245d0c23c8e8476', 'ae92f4fbb31d55fb33175f7ed7b7ec38b7d04062ff7c17f28495df1b2f3565ba');
INSERT INTO audit VALUES (5, '2026-11-24T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', 'cbd69c38af1c', '8089c083582fcaabc424b0c8fa58aa8cbd65ddb44f69051f1a66fee69be66563', '500068bee70b1bb03bca015d48e5f86f2a499ed44bad490d0cb0f87c1b25c805');
INSERT INTO audit_head VALUES (5, 'bccadb0334cef4dbb5b46def3ece03bb0395b1b54f114cb200552c8e6dcd8be4');
INSERT INTO cards VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', '9f3fee9a063625af215328aa32494a40c913fd2ac645c120f6f2f47e338998a4', 'warning', 'meam-risk 0.1.0', '["structured/lactate", "note/0/1"]', true);
INSERT INTO cards VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', '9f3fee9a063625af215328aa32494a40c913fd2ac645c120f6f2f47e338998a4', 'warning', 'meam-risk 0.1.0', '["structured/lactate", "note/0/1"]', true);
INSERT INTO explanations VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 1795521600, '\x4d32811d0da4e1baea82ba91ae28ffe13542bcbded21e28f54876381910db4689d319f2a1eb361a5a21c8d04a78632c60e');
INSERT INTO explanations VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 1795608000, '\x4d32cbd69c38af1c86d88b1aad42d1bec8240a2059d079a71b876713aed35924217012c94b9f34c09d46f6f43365e53662');
INSERT INTO feedback VALUES ('a0044ebab26284a0ff8d2b4e537f820ce761c627377c3d93b1c6ed22592d8fef', 1795435200, 'meam-risk', 'https://ehr.example', '4e0a3a1e-3283-4575-ab82-028d55fe2719', true, 'accepted', '2026-11-23T12:01:00Z', '["e56e1945-20b3-4393-8503-a1a20fd73152"]', NULL, NULL, NULL, true);
INSERT INTO feedback VALUES ('ed47e2a892f99684c32c24559e61ac14acaa978b907a6cacf6ca8f7bbd4b1538', 1795521600, 'meam-risk', 'https://ehr.example', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', true, 'overridden', '2026-11-24T12:01:00Z', '[]', 'cds-not-applicable', 'http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes', '\x4d32cbd69c38af1cfae1223c38c4e4efd1ff0aa1554f376fbe3d0133339dbdedd5e5b07d918292fcec6daadb8e08309b257c06ac75de148e452fc9dfa57aba9623', true);
INSERT INTO lasting_secrets VALUES ('patient fingerprint', '\x4d32811d0da4e1ba095a1fa2b906a9d158273bde1ea146322130d797b613023dbec1169606fed584b7b324d41c522d78d37779c14e331f6ac17d5ee2133e9ee8323869a5');
INSERT INTO lasting_secrets VALUES ('fingerprints', '\x4d32811d0da4e1ba877e9cb51a5cfb16162302f68d2d241855ed37034831c3e0b1dd419e5d5c1e111920bc1b4e120ab8eaec928eb9051b348274ca1782268f6f073bb5e8');
INSERT INTO lasting_secrets VALUES ('audit chain 811d0da4e1ba', '\x4d32811d0da4e1ba32ac72475d9c18398837389d6b06aeb87da4fc18ee89ecbf1baa435b656914a69ad6c2a70255124f4d3e51707e5728fde789a53d974a05c05e954f1e');
INSERT INTO lasting_secrets VALUES ('audit chain cbd69c38af1c', '\x4d32cbd69c38af1c79df568f5cccfbc9cc5b7b382df50b6c7c074035029cf26250d741587c738abb8f106b857170ef81aa98f522ababd6f12ee1e0d18025c75eb8d71c78');
INSERT INTO meam_schema VALUES (2);
INSERT INTO replays VALUES ('f25f9ca513201f3b170df9e5d0c6cbfa506bf686a9ebcaf529cab2c4ca6695d3', 1795435500);
INSERT INTO replays VALUES ('37ff9918e74c2e8125a8f25929a204a544780c612d733a3d97c30c1fa52baca1', 1795521900);
INSERT INTO suggestions VALUES ('e56e1945-20b3-4393-8503-a1a20fd73152', '4e0a3a1e-3283-4575-ab82-028d55fe2719');
INSERT INTO suggestions VALUES ('0c0f7f6e-55c7-4b8e-8f39-6f0f6c3b9f10', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11');
SELECT pg_catalog.setval('meam_schema_version_seq', 1, false);
ALTER TABLE ONLY audit_head
    ADD CONSTRAINT audit_head_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY cards
    ADD CONSTRAINT cards_pkey PRIMARY KEY (card_uuid);
ALTER TABLE ONLY explanations
    ADD CONSTRAINT explanations_pkey PRIMARY KEY (card_uuid);
ALTER TABLE ONLY feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY lasting_secrets
    ADD CONSTRAINT lasting_secrets_pkey PRIMARY KEY (name);
ALTER TABLE ONLY meam_schema
    ADD CONSTRAINT meam_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY shown_findings
    ADD CONSTRAINT shown_findings_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY suggestions
    ADD CONSTRAINT suggestions_pkey PRIMARY KEY (suggestion_uuid);
CREATE INDEX ix_cards_created_s ON cards USING btree (created_s);
CREATE INDEX ix_explanations_expires_s ON explanations USING btree (expires_s);
CREATE INDEX ix_feedback_card_uuid ON feedback USING btree (card_uuid);
CREATE INDEX ix_feedback_received_s ON feedback USING btree (received_s);
CREATE INDEX ix_replays_expires_s ON replays USING btree (expires_s);
CREATE INDEX ix_shown_findings_shown_s ON shown_findings USING btree (shown_s);
CREATE INDEX ix_suggestions_card_uuid ON suggestions USING btree (card_uuid);
