/*-------------------------------------------------------------------------
 *
 * documents.c
 *		The JSON documents that the sandbox answers with.
 *
 * All people, places and numbers are invented: example.com addresses, +1555
 * telephone numbers, documents of the specimen state UTO.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "documents.h"
#include "template.h"

/* A picture of one pixel */
#define PIXEL \
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

#define CLIENT_KEY "7d1c1b52-0f0e-4c5e-9a55-3d2f0c6a1e01"
#define APP_KEY "0a6f5f3e-5a1d-4b43-8f0b-5b8f6a2c9d02"

/* @base@ is an id of the applicant's but for its last 12 digits */
#define DOC_ID "@base@0000000000d1"

#define FIELD(serial, type, lcid, source, probability, value) \
	"{'id':'@base@00000000f0" serial "','docId':'" DOC_ID "','fieldType':" type \
	",'lcid':" lcid ",'status':@result@,'pageIndex':0,'probability':" probability \
	",'validity':1,'value':" value ",'sourceType':" source \
	",'comparison':{'3':3,'17':3},'createdAt':'@created@'}"

#define FIELD_GROUP(type, entries) "{'fieldType':" type ",'data':[" entries "]}"

#define GRAPHIC(serial, type, source) \
	"{'fieldType':" type ",'data':[{'id':'@base@00000000e0" serial "','docId':'" DOC_ID \
	"','fieldType':" type ",'sourceType':" source ",'containerType':" source \
	",'pageIndex':0,'image':'" PIXEL "','createdAt':'@created@'}]}"

#define DOCUMENT_SERVICE \
	"{'data':{'id':'@base@0000000000c1','stepType':'DOCUMENT_CAPTURE'," \
	"'overallResult':@result@,'elapsedTime':828,'elapsedTimeRFID':0," \
	"'uploadedPagesCount':2,'createdAt':'@created@','types':[{'id':'@base@0000000000b1'," \
	"'docId':'" DOC_ID "','name':'Utopia - Id Card (2019)','pageIndex':0,'hasMRZ':true," \
	"'icao':'UTO','type':12,'year':'2019','format':0,'createdAt':'@created@'}," \
	"{'id':'@base@0000000000b2','docId':'" DOC_ID "','name':'Utopia - Id Card (2019) Side B'," \
	"'pageIndex':1,'hasMRZ':false,'icao':'UTO','type':12,'year':'2019','format':0," \
	"'createdAt':'@created@'}],'graphics':[" \
	GRAPHIC("01", "201", "6") "," GRAPHIC("02", "204", "6") "," GRAPHIC("03", "207", "1") \
	"],'fields':[" \
	FIELD_GROUP("0", FIELD("01", "0", "0", "3", "100", "'ID'")) "," \
	FIELD_GROUP("1", FIELD("02", "1", "0", "3", "100", "'UTO'")) "," \
	FIELD_GROUP("2", FIELD("03", "2", "0", "3", "99", "'@number@'") "," \
				FIELD("04", "2", "0", "17", "97", "'@number@'")) "," \
	FIELD_GROUP("3", FIELD("05", "3", "0", "3", "99", "'2031-08-20'")) "," \
	FIELD_GROUP("5", FIELD("06", "5", "0", "3", "98", "'@birth@'")) "," \
	FIELD_GROUP("8", FIELD("07", "8", "0", "17", "96", "'@surname@'")) "," \
	FIELD_GROUP("9", FIELD("08", "9", "0", "17", "95", "'@given@'")) "," \
	FIELD_GROUP("11", FIELD("09", "11", "1033", "17", "94", "'Utopian'")) \
	"]},'service':'DOCUMENT_CAPTURE','status':'@service_status@','type':'ON_DEMAND'," \
	"'deactivatedServiceCount':0,'errorMessage':null,'reason':@reason@}"

#define OTHER_SERVICE(serial, name) \
	"{'data':{'id':'@base@0000000000" serial "','stepType':'" name "','score':0.97," \
	"'attempts':1,'createdAt':'@created@'},'service':'" name "','status':'APPROVED'," \
	"'type':'ON_DEMAND','deactivatedServiceCount':0,'errorMessage':null,'reason':null}"

static const char applicant_source[] =
"{'id':'@id@','externalUserId':@external@,'status':@status@,'updatedAt':'@updated@',"
"'createdAt':'@created@','scheduledDeletionDate':@deletion@,'phone':@phone@,'email':@email@,"
"'lang':@lang@,'dateOfBirth':'@birth@','ip':'192.0.2.@octet@','country':'UT','region':'UT-@octet@',"
"'timezone':'Etc/UTC','city':'Example City','image':'https://images.example.com/@id@.png',"
"'fullName':'@given@ @surname@','fullNameSetByUser':false,'clientKey':'" CLIENT_KEY "',"
"'flowId':@flow_id@,'review':{'id':'@base@0000000000a1','version':1,'status':@status@,"
"'createdAt':'@created@','updatedAt':'@updated@','comment':null,'warnings':null,'details':null,"
"'reviewerId':7,'reviewerFullName':'Robin Example','statusSetById':7,"
"'statusSetByName':'Robin Example'},'servicesData':["
DOCUMENT_SERVICE ","
OTHER_SERVICE("c2", "PASSIVE_LIVENESS") ","
OTHER_SERVICE("c3", "FACE_MATCH")
"],'applications':{'appKey':'" APP_KEY "'},'flow':{'name':@flow@,'id':@flow_id@,"
"'type':'ON_DEMAND','autoApprove':true,'uniqueFaceMatch':true,"
"'services':['DOCUMENT_CAPTURE','PASSIVE_LIVENESS','FACE_MATCH']},"
"'amlMonitoring':{'id':'@base@000000000011','applicantId':'@id@','externalId':@external@,"
"'period':'DAILY','isActive':true,'createdAt':'@created@','updatedAt':'@updated@'},"
"'device':{'sdkVersion':'1.4.2','ip':'192.0.2.@octet@ ','country':'UT','region':'UT-@octet@',"
"'eu':'0','timezone':'Etc/UTC','city':'Example City','metro':0,'ll':[12.345678,-98.7654321],"
"'area':20,'userAgent':'Mozilla/5.0 (X11; Linux x86_64) Example/1.0','browserType':'Example',"
"'browserVersion':'1.0'}}";

static const char *const applicant_names[] = {
	"id", "external", "status", "updated", "created", "deletion", "phone", "email", "lang",
	"birth", "octet", "given", "surname", "flow_id", "flow", "base", "result", "number",
	"service_status", "reason", NULL
};

#define FUND(hash, forward, owner, type, depth, amount, share, decimal) \
	"{'hash':'" hash "','forward':" forward ",'owner':'" owner "','score':@score@,'type':'" type \
	"','depth':" depth ",'amount':" amount ",'address':@subject@,'share':" share \
	",'transactionCount':12,'unidentified':false,'unknown':false,'amountCur':4711.99,'cluster':31," \
	"'directStamp':1672531200,'timestamp':1672531200,'listType':'sof','amountDec':" decimal \
	",'directTx':'" hash "'}"

#define HASH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa01"
#define HASH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb02"

#define COMMENT(serial, content, parent_id, parent) \
	"{'id':'@base@0000000000" serial "','content':'" content "','amlId':'@id@','authorId':7," \
	"'parentId':" parent_id ",'authorName':'Robin Example','updatedAt':'@created@'," \
	"'createdAt':'@created@','parentComment':" parent "}"

static const char report_source[] =
"{'type':'@type@','id':'@id@','clientKey':'" CLIENT_KEY "','applicantId':null,"
"'blockchain':@blockchain@,'reviewStatus':'UNKNOWN','address':@subject@,'score':@score@,"
"'amount':'123456789012345678901234567890.123456789012345678','uof':["
FUND(HASH_A, "true", "Example Exchange", "exchange_licensed", "2",
	 "12345678901234567890.123456789012345678", "0.75",
	 "12345678901234567890123456789.0000000000000000001") ","
FUND(HASH_B, "true", "Example Mixer", "mixer", "4", "0.1", "0.25", "1e-18")
"],'sof':["
FUND(HASH_B, "false", "Example Pool", "miner", "1",
	 "0.1000000000000000055511151231257827021181583404541015625", "1",
	 "100000000000000005551115123125782702118158340454101562.5")
"],'addressInfo':{'address':@subject@,'owner':'Example Exchange','description':'A specimen',"
"'type':{'id':'exchange','name':'Exchange','score':@score@},'txCount':42,'txReceivedCount':30,"
"'txSentCount':12,'tags':[['exchange','licensed'],[]],'balance':{'amount':"
"'98765432109876543210.012345678901234567','price':27123.4500000000000001,"
"'priceTimestamp':1672531200,'symbol':@blockchain@},'firstSeen':1577836800,'lastSeen':1672531200,"
"'parentCount':3,'parentNativeCount':2,'addressType':'p2wpkh','conflict':false,'totalETHTxs':0,"
"'totalInternalTxs':0,'totalTokensTxs':0,'assets':[{'supported':true,'name':'Example Coin',"
"'symbol':@blockchain@,'icon':'https://images.example.com/coin.png'}]},'entities':["
"{'id':'@base@000000000021','score':@score@,'scoreType':'Exchange','name':'Example Exchange',"
"'scoreTypeId':'exchange'},{'id':'@base@000000000022','score':90,'scoreType':'Mixer',"
"'name':'Example Mixer','scoreTypeId':'mixer'}],'isMonitoring':true,'lastUpdateDate':'@created@',"
"'outdated':false,'createdAt':'@created@','timelines':[{'id':'@base@000000000031',"
"'requestUniqueId':'@base@000000000032','eventName':'CRYPTO_AML_STATUS_UPDATED',"
"'applicantId':null,'appKey':'" APP_KEY "','data':{'reviewStatus':'UNKNOWN'},'amlId':'@id@',"
"'userId':7,'device':{},'geo':{},'createdAt':'@created@','updatedAt':'@created@'}],'comments':["
COMMENT("41", "Looks fine.", "null", "null") ","
COMMENT("42", "Agreed.", "'@base@000000000041'", COMMENT("41", "Looks fine.", "null", "null"))
"],'updatedAt':'@created@'}";

static const char *const report_names[] = {
	"type", "id", "blockchain", "subject", "score", "created", "base", NULL
};

static const char questionnaire_source[] =
"{'id':'kyc-basic','name':'Basic questions','description':'Source of funds and occupation',"
"'clientKey':'" CLIENT_KEY "','content':{'sections':[{'id':'funds','title':'Source of funds',"
"'questions':[{'id':'q1','type':'select','label':'Where does your money come from?',"
"'options':['salary','business','inheritance'],'required':true},{'id':'q2','type':'text',"
"'label':'What is your occupation?','required':false}]}]},'version':{'number':3,'published':true},"
"'createdAt':'2025-05-19T08:37:31.277Z'}";

static const char *const questionnaire_names[] = {NULL};

static SbTemplate applicant_template;
static SbTemplate report_template;
static SbTemplate questionnaire_template;

/* Take the templates apart */
void
sb_documents_start(void)
{
	sb_template_compile(&applicant_template, applicant_source, applicant_names);
	sb_template_compile(&report_template, report_source, report_names);
	sb_template_compile(&questionnaire_template, questionnaire_source, questionnaire_names);
}

/* Free the templates */
void
sb_documents_stop(void)
{
	sb_template_free(&applicant_template);
	sb_template_free(&report_template);
	sb_template_free(&questionnaire_template);
}

/* Choose one of some words by a random number */
#define CHOOSE(words, random) ((words)[(random) % (sizeof(words) / sizeof((words)[0]))])

/* Values that need quoting or formatting, one behind the other in one text */
typedef struct Scratch
{
	SbText		text;
	size_t		start;
} Scratch;

/* Give the place where the value just written begins, and step on */
static size_t
settle(Scratch *scratch)
{
	size_t		start = scratch->start;

	scratch->start = scratch->text.length;
	return start;
}

/* Append a full applicant */
void
sb_document_applicant(const SbApplicant *applicant, SbText *out)
{
	static const char *const given[] = {"Anna", "Boris", "Chloe", "Dmytro", "Elena", "Farid",
	"Grace", "Hugo"};
	static const char *const surnames[] = {"Example", "Specimen", "Muster", "Sample", "Testova",
	"Placeholder"};
	SbSlice		quoted[] = {applicant->external_id, applicant->status, applicant->phone,
	applicant->email, applicant->lang, applicant->flow_name};
	SbSlice		value[6];
	size_t		start[7];
	Scratch		scratch = {{0}, 0};
	char		updated[SB_TIME_LENGTH + 1];
	char		created[SB_TIME_LENGTH + 1];
	char		deletion[SB_TIME_LENGTH + 3] = "null";
	char		birth[16];
	char		octet[8];
	char		number[16];
	char		flow_id[24];
	bool		rejected = sb_slice_is(applicant->status, "REJECTED");
	uint64_t	state = applicant->seed;
	uint64_t	random = sb_mix(&state);

	sb_clock_format(applicant->updated_ms, updated);
	sb_clock_format(applicant->created_ms, created);
	if (applicant->deletion_ms != 0)
	{
		deletion[0] = '"';
		sb_clock_format(applicant->deletion_ms, deletion + 1);
		strcat(deletion, "\"");
	}
	snprintf(birth, sizeof(birth), "%u-%02u-%02u", 1950 + (unsigned) (random >> 8) % 55,
			 1 + (unsigned) (random >> 16) % 12, 1 + (unsigned) (random >> 24) % 28);
	snprintf(octet, sizeof(octet), "%u", 1 + (unsigned) (random >> 32) % 254);
	snprintf(number, sizeof(number), "UT%07u", (unsigned) (random >> 40) % 10000000);
	snprintf(flow_id, sizeof(flow_id), "%lld", (long long) applicant->flow_id);
	for (int i = 0; i < 6; i++)
	{
		sb_text_quote(&scratch.text, quoted[i]);
		start[i] = settle(&scratch);
	}
	start[6] = scratch.start;
	for (int i = 0; i < 6; i++)
		value[i] = (SbSlice) {scratch.text.data + start[i], start[i + 1] - start[i]};
	sb_template_fill(&applicant_template, (SbSlice[]) {
		{applicant->id, SB_ID_LENGTH}, value[0], value[1], sb_slice(updated), sb_slice(created),
		sb_slice(deletion), value[2], value[3], value[4], sb_slice(birth), sb_slice(octet),
		sb_slice(CHOOSE(given, random)), sb_slice(CHOOSE(surnames, random >> 4)),
		sb_slice(flow_id), value[5], {applicant->id, 24}, sb_slice(rejected ? "0" : "1"),
		sb_slice(number), sb_slice(rejected ? "REJECTED" : "APPROVED"),
		sb_slice(rejected ? "\"The document could not be read\"" : "null")
	}, out);
	sb_text_free(&scratch.text);
}

/* Append the answer of the status call */
void
sb_document_status(const SbApplicant *applicant, SbText *out)
{
	sb_text_add(out, "{\"id\":\"", 7);
	sb_text_add(out, applicant->id, SB_ID_LENGTH);
	sb_text_add(out, "\",\"status\":", 11);
	sb_text_quote(out, applicant->status);
	sb_text_add(out, "}", 1);
}

/* Append a full AML report */
void
sb_document_report(const SbReport *report, SbText *out)
{
	SbText		blockchain = {0};
	SbText		subject = {0};
	char		score[24];
	char		created[SB_TIME_LENGTH + 1];
	uint64_t	state = report->seed;

	/* the page's own score is a number of unknown precision */
	snprintf(score, sizeof(score), "%u.25", (unsigned) (sb_mix(&state) % 100));
	sb_clock_format(report->created_ms, created);
	sb_text_quote(&blockchain, report->blockchain);
	sb_text_quote(&subject, report->subject);
	sb_template_fill(&report_template, (SbSlice[]) {
		sb_slice(report->transaction ? "TRANSACTION" : "WALLET"), {report->id, SB_ID_LENGTH},
		sb_text_slice(&blockchain), sb_text_slice(&subject), sb_slice(score), sb_slice(created),
		{report->id, 24}
	}, out);
	sb_text_free(&blockchain);
	sb_text_free(&subject);
}

/* Append a questionnaire; false if there is no such one */
bool
sb_document_questionnaire(SbSlice id, SbText *out)
{
	if (!sb_slice_is(id, "kyc-basic"))
		return false;
	sb_template_fill(&questionnaire_template, NULL, out);
	return true;
}
