-- A database of schema version 3, written by the program of that time under two keys: two cards with
-- explanation, suggestion, feedback, prediction and audit lines, the first for the tenant north, the
-- second, after a rotation, for south; and two predictions without a card, for south, and without
-- its audit line.
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
CREATE TABLE predictions (
    prediction_uuid character varying(36) NOT NULL,
    created_s double precision NOT NULL,
    service_id character varying(64) NOT NULL,
    hook_instance character varying(64) NOT NULL,
    issuer text NOT NULL,
    patient character varying(64) NOT NULL,
    card_uuid character varying(36),
    model text NOT NULL,
    shown boolean NOT NULL,
    duration_ms double precision NOT NULL,
    payload bytea NOT NULL
);
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
    card_uuid character varying(36) NOT NULL,
    step_id character varying(64)
);
ALTER TABLE ONLY meam_schema ALTER COLUMN version SET DEFAULT nextval('meam_schema_version_seq'::regclass);
INSERT INTO audit VALUES (1, '2026-11-23T12:00:00+00:00', 'database created', '{"schema":3}', '811d0da4e1ba', '0000000000000000000000000000000000000000000000000000000000000000', 'a3e968629f0ac894ea6f40fe7f60af767ba519d0baec4a14a1f8e094ebdcc274');
INSERT INTO audit VALUES (2, '2026-11-23T12:00:00+00:00', 'hook answered', '{"card":"4e0a3a1e-3283-4575-ab82-028d55fe2719","hook":"patient-view","hookInstance":"7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d","indicator":"warning","issuer":"https://ehr.example","limits":[],"mode":"active","model":"meam-risk 0.1.0","patient":"8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f","resourcesRead":{"Observation":12},"service":"meam-risk","tenant":"north","user":"cb0acc8c945b069a2f893fdea20fe889cf8dac4343112fc7b55fb40b30d2f192"}', '811d0da4e1ba', '4002cc627335abb330d108976d76504395f5820bd6b352efa31e9e0b47a5b9ce', 'dccfaa90d79c4a3eb98ccf12e75210b637c8c40609cf6b9a1ba6486c493a6b4d');
INSERT INTO audit VALUES (3, '2026-11-23T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', '811d0da4e1ba', 'd96e20f0627183ac179f352f5a0b90ccd4d11b289482b8107d0180ffc0a54d05', '3bffc0ecc01077fd5207dc912d02b404a39b3704aef2dd0033f734f7faebf5fe');
INSERT INTO audit VALUES (4, '2026-11-24T12:00:00+00:00', 'hook answered', '{"card":"c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11","hook":"patient-view","hookInstance":"1b6e6a53-7a3f-4b52-b0a9-0f7b7a3c5d10","indicator":"warning","issuer":"https://ehr.example","limits":[],"mode":"active","model":"meam-risk 0.1.0","patient":"8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f","resourcesRead":{"Observation":12},"service":"meam-risk","tenant":"south","user":"cb0acc8c945b069a2f893fdea20fe889cf8dac4343112fc7b55fb40b30d2f192"}', 'cbd69c38af1c', 'b138c37ddd028fefcb99480be194bd537257df3c8dd0feae096653ccd6e29741', 'c3e25d951c3ef2156c349e04f0cb7ebd806859184f3983ed0a71d2817befd41d');
INSERT INTO audit VALUES (5, '2026-11-24T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', 'cbd69c38af1c', '766fb6bf69751142349665a5b656556adeb99558a2e76548004730c1b3667a8f', '19af60efb74b06425661b2528ff504e3f0a1730ef8c74316025fc37611710f66');
INSERT INTO audit VALUES (6, '2026-11-24T12:00:00+00:00', 'hook answered', '{"card":null,"hook":"patient-view","hookInstance":"5d0c8e1f-2f0b-4a6c-9c35-6b1e5f6a7b20","indicator":null,"issuer":"https://ehr.example","limits":[],"mode":"active","model":"meam-risk 0.1.0","patient":"8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f","resourcesRead":{"Observation":12},"service":"meam-risk","tenant":"south","user":"cb0acc8c945b069a2f893fdea20fe889cf8dac4343112fc7b55fb40b30d2f192"}', 'cbd69c38af1c', '35c758e95feb032e71cd3fb98f325565792e627a74656d0d0c0dd6ae54f2af36', '77a38682a220a9fc4981c7146aa4a8d9b968035fcfc8e9957bf04c5e9185545e');
INSERT INTO audit_head VALUES (6, 'f943b94cd8a8085eb3a77e73b710baa090232088f84dc223467ea260a59b6567');
INSERT INTO cards VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', 'warning', 'meam-risk 0.1.0', '["structured/lactate", "note/0/1"]', true);
INSERT INTO cards VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 'meam-risk', '1b6e6a53-7a3f-4b52-b0a9-0f7b7a3c5d10', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', 'warning', 'meam-risk 0.1.0', '["structured/lactate", "note/0/1"]', true);
INSERT INTO explanations VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 1795521600, '\x4d32811d0da4e1ba61e34ec8fc2e78e94810eedbcdaf25a68e1d0a0280b77c401e67700cef4173b53fc8d82f6d637f62c5');
INSERT INTO explanations VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 1795608000, '\x4d32cbd69c38af1cb9de67ef2e245e166681b3f534fb1a6a982335216c82312e11fa3038728815ceabbe1f801acf0651c6');
INSERT INTO feedback VALUES ('ba20d63f42a78143cca82db79279f834f4a4808b162a403b4085e9f2392ad357', 1795435200, 'meam-risk', 'https://ehr.example', '4e0a3a1e-3283-4575-ab82-028d55fe2719', true, 'accepted', '2026-11-23T12:01:00Z', '["e56e1945-20b3-4393-8503-a1a20fd73152"]', NULL, NULL, NULL, true);
INSERT INTO feedback VALUES ('374c551cf03b25bed43d9c8af8e3dba29ce5cfa1e6a615997767a3024f24665f', 1795521600, 'meam-risk', 'https://ehr.example', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', true, 'overridden', '2026-11-24T12:01:00Z', '[]', 'cds-not-applicable', 'http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes', '\x4d32cbd69c38af1cf39ffbdc90e67bf198b20a19cdf1d18cd6bb0599387c4c57263f99277c4627a290aa748bf7aafaf5450e5bee5c91c94fb80938da03c6415b56', true);
INSERT INTO lasting_secrets VALUES ('patient fingerprint', '\x4d32811d0da4e1bae0144a6ebe7e208836e5644b1b52d557e6039bfffd899a574534d6f4ee282af9de72b63bb63ee61ed2ffea507a03fcc75f05ada4587aa6d1827fe3fd');
INSERT INTO lasting_secrets VALUES ('fingerprints', '\x4d32811d0da4e1ba858dcfdbdc0aae3ee3007a7fecdf244319a8ada511edac00885d101d37fb3eb30f36f6d6195e706aa0b79764b2b29ed516b568924c4427a5bcc58d97');
INSERT INTO lasting_secrets VALUES ('audit chain 811d0da4e1ba', '\x4d32811d0da4e1bae68997f8f3679b619b62ce02cd5ee9788fca7673907029f51fa3f71180987876d427f658f32301937bd6d1c9ace496e808bd2162670bd59b49a718c4');
INSERT INTO lasting_secrets VALUES ('audit chain cbd69c38af1c', '\x4d32cbd69c38af1c7b664d9f5cad94b775ee8bbed92cb1d58c905ac335df1444df5ac3336bca0c3924e6d11f41a01301376c0166c85873ed449826d0d2bb76ebdb54a418');
INSERT INTO meam_schema VALUES (3);
INSERT INTO predictions VALUES ('a1b4e7d0-3c2f-4d15-8e0a-6b9c1f2d3e40', 1795435200, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', '4e0a3a1e-3283-4575-ab82-028d55fe2719', 'meam-risk 0.1.0', true, 42, '\x4d32811d0da4e1ba66e8f8a2cacb20ac46f25d6a7efcb9d78481b8fc71d5d7f1ff0f9fefe38fa0c3e8a6383c8847bc486fceef5db07a19aab3549a071a92583dabca4b77a11693740941001fdb433a9495d431ca227d4ae1c9dfeae131f609478c7c012e5396665e8532bf6e5125af09bef214eae1841452e846c937639bf2a2656f11fc60a3034164fe61657d8a6151245f96cda93d911fcd13840f4ea4191cb86fa88b41d31a3c8b34');
INSERT INTO predictions VALUES ('b2c5f8e1-4d30-4e26-9f1b-7cad203e4f51', 1795521600, 'meam-risk', '1b6e6a53-7a3f-4b52-b0a9-0f7b7a3c5d10', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 'meam-risk 0.1.0', true, 42, '\x4d32cbd69c38af1c2965f04cbbbd4e86352136ac555ad22095238dedcb610e3f988a0d016b9647a6686c4648b64ca2e76d70cc55915f3c22d249d35983c8cba974d471ac0ad42c56085e3b80c520c7e1425f312f4e33183d379976778b233236ccfbd8eca46fab1a4eb2e5611fb73276a098e17fd1ca4cebf4e4d19f6bc3f4b442978239e79b70bdbdba62b3ca03fff38c00b6ae897175367d8d35566171ec0c171cdb8c5beae2d3ca6e18ef7dc9');
INSERT INTO predictions VALUES ('c3d609f2-5e41-4f37-a02c-8dbe314f5062', 1795521600, 'meam-risk', '5d0c8e1f-2f0b-4a6c-9c35-6b1e5f6a7b20', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', NULL, 'meam-risk 0.1.0', true, 42, '\x4d32cbd69c38af1cae22610613c8bd646eb31b235f67c49cf0fda2df11c76a4d3b97c3a5e26e2b89c7104173d4f96185a5b708861024c6f6ef7a6633a2b49c9bb0330a8af3e56e218faa952285d24378470a074e099fb0d0e973abf9cc6982beebe5344cf1fc96ea0dffde944d2dfd19f1b77e6bb54af3c152bbfe275d13449f2e65a46082520dbf75df3fd6e72a359eb8e813bd69bb8ab1153bc9a81db7e6e1ba4f53444081c7d32f7fee5a');
INSERT INTO predictions VALUES ('d4e71a03-6f52-4048-b13d-9ecf42506173', 1795521600, 'meam-risk', '9e8d7c6b-5a49-4838-9271-60504f3e2d1c', 'https://ehr.example', '8faccfba77acf27c2f61b5c8dcf961b49b57d74e52d131b994609b8468afc67f', NULL, 'meam-risk 0.1.0', true, 42, '\x4d32cbd69c38af1ca4081eee605ff24005f96a2733f239d80826051b18ae09cb1e8027ddf0c0c7d53150e219826194b89c9d8801ce720583ad8882e16306b6e5e80ced01fa4f9cb20a5d61f1c7b4e27749230c0a729d760e3aee3c3ba172c0a961c33c59a1ea897a94114726582f1b3011fa812a76b28b8adc19542f120d597704502cb35e307b12320b20b00af6a6a252328d5a8d3999454de566d0884e00d59c3d07223e1508c05d7c14');
INSERT INTO replays VALUES ('f25f9ca513201f3b170df9e5d0c6cbfa506bf686a9ebcaf529cab2c4ca6695d3', 1795435500);
INSERT INTO replays VALUES ('37ff9918e74c2e8125a8f25929a204a544780c612d733a3d97c30c1fa52baca1', 1795521900);
INSERT INTO suggestions VALUES ('e56e1945-20b3-4393-8503-a1a20fd73152', '4e0a3a1e-3283-4575-ab82-028d55fe2719', 'repeat-lactate');
INSERT INTO suggestions VALUES ('0c0f7f6e-55c7-4b8e-8f39-6f0f6c3b9f10', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 'vte-assessment');
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
ALTER TABLE ONLY predictions
    ADD CONSTRAINT predictions_pkey PRIMARY KEY (prediction_uuid);
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
CREATE INDEX ix_predictions_created_s ON predictions USING btree (created_s);
CREATE INDEX ix_replays_expires_s ON replays USING btree (expires_s);
CREATE INDEX ix_shown_findings_shown_s ON shown_findings USING btree (shown_s);
CREATE INDEX ix_suggestions_card_uuid ON suggestions USING btree (card_uuid);
