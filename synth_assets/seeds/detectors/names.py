"""Word lists for finding person names in text: given names, family names, and words that are not names.

Here: lists only, written for this project from common names of many countries, folded to a-z (José is jose).
Not here: the rules that use them (persons.py). A name missing here is found only by its context, a title for instance.
"""

from __future__ import annotations


def read_words(text: str) -> frozenset[str]:
    """Return the words of a text that are separated by spaces."""
    return frozenset(text.split())


GIVEN_NAMES = read_words(
    """
aaliyah aarne aarno aaron aart aarti aase aatos abdallah abdelrahman abdul abdullah abdulrahman abebe abel abena
abhishek abigail abraham achieng ad adaeze adam adebayo adel adela adele adem adi adina aditya adjoa adriaan adrian
adriana adriano adrien afia afonso agata agathe agnes agneta agnieszka ahmad ahmed ahmet aiden aikaterini aiko aila
aileen ailsa ainhoa aino aisha aishwarya aisling aitana aivars ajay akari akash ake akemi akhil akira akos akosua
aksel akua alain alan alana alastair alba albert alberta alberto alden aldo alejandra alejandro aleksandr aleksandra
aleksei alemu alena alenka ales alessandra alessandro alessia alessio alex alexander alexandr alexandra alexandre
alexandria alexandros alexandru alexei alexey alexis alfie alfred ali alice alicia alicja alina aline alison alistair
alka alla allan allison alma almudena alok alvar alvaro alvin alyssa ama amaia amaka amal aman amanda amandine amani
amber ameer amelia amelie amina amir amira amit amos amrita amy ana ana-maria anais anand ananya anastasia anastasios
anastasiya anat anatoli anatoly anca anders anderson andras andre andrea andreas andreea andrei andreia andrej andres
andrew andrey andris andriy andrzej andy aneta anette angel angela angelica angelika angeliki angelina angelique
angelo angie angus anh aniket aniko anil anirudh anita anja anjali anju anke ankit ankita ankur ann anna anna-liisa
annabel annabelle anne anne-marie annegret anneke anneli annelies anneliese annemarie annette anni annie annika
annikki annukka anouk ante antero anthony antje antoine antoinette anton antonella antonia antonin antonina antonio
antonios antti anuj anupam anushka anwar anze anzhela aoi aoife aparecida aparna apostolos april araceli archana
archer archie are aria ariana arianna arie ariel arina arja arjan arjen arjun arkadiusz arkady arlene armi armin
arnaud arnd arne arni arnold aron arseny artem arthur arturo arturs arun arvid arvind aryan asa asbjorn asha asher
ashish ashleigh ashley ashok ashraf asli asma assar asta astrid asuka athanasios athena athina atle atsuko attila
audrey auli aurelie aurelien aurora austin autumn ava avi avinash avraham axel aya ayaka ayelet ayesha ayman ayodele
ayse aysel ayten ayumi azadeh aziz babatunde bahar balazs baltasar banu baptiste baraka barb barbara barbora barbro
bard barry bart bartlomiej bartosz bas bashir basma baxter bayram beata beatrice beatriz becky begona bekele bekir
bela bella ben bence benedetta benedicte benedikt benedito bengt benjamin benny benoit bent bente berit berna
bernadett bernadette bernard bernd bernice bertalan bertha bertrand bessie beth bethany bettina betty betul beverly
bharat bhaskar bhavna bianca bilal biljana bill billy bin birger birgit birgitta birthe bjarni bjorn blake blanca
blanche blanka bo bob bobby bodil bodo bogdan boglarka bogumila boguslaw bohdan bohumil bohuslav bojan bojana bongani
bonnie borbala boris borislav borja borje bostjan botond boyko bozena bozica brad bradley bram brandon branislav
branka branko brenda brendan bretislav brett brian brianna bridget brigitte britt britta brittany bronislaw bronislawa
bronwyn brooke brooklyn bruce bruna bruno bryan bryce bukola burcu burkhard busra byron caio caleb callum calvin
camelia cameron camila camilla camille can canan candace candice caoimhe capucine carina carl carla carlene carlo
carlos carlotta carlton carly carmela carmen carol carole caroline carolyn carrie carsten carter carys casper
cassandra cassie catalin catalina catarina caterina catherine cathy cecil cecile cecilia cedric celeste celia celine
cem cemile cerys cesar chad chaim chana chantal chao charalampos charlene charles charlotta charlotte chau chelsea
cherie cheryl chester chetan chiara chieko chinedu chinwe chioma chipo chirag chitra chiyoko chloe chris christa
christel christian christiane christie christina christine christoph christophe christopher christos chrysoula
chukwuemeka ciara cicero cigdem cillian cindy cinzia ciprian claire clara clarence clarissa clark claude claudia
claudio clayton clemence clement clifford clint clinton clive clyde cody coen cole colette colin colleen concepcion
concetta connie connor conrad constance constantin consuelo cooper cora coralie corentin corey corina corinne cornelia
cornelis corrie cory cosmin costin courtney craig crina cristian cristiane cristiano cristina cristobal crystal csaba
ctibor curtis cynthia cyrus czeslaw daan dace dafna dag dagfinn dagmar daiki daisuke daisy daiva dalal dale dalia
dallas damian damien damjan damon dan dana dane daniel daniela daniele danielle daniil danijela danil danila danilo
danny dante danuta dao daphne daria dario darius dariusz darko darlene darnell darrell darren darryl darshan darya
dave davi david davide davor dawid dawit dawn dean deanna debbie debora deborah debra declan deepa deepak deepika
deirdre dejan delbert delia delilah delphine denes denis denisa denise deniz dennis derek derya desiree desislava
desmond despoina desta detlef dev devendra devi dexter dhruv diana diane diann didem didier diederik diego dieter
dijana dilek dimitar dimitra dimitrios dimitris dina dinesh dino dirk ditte divya dixie diya dmitri dmitriy dmitry
dmytro dohyun doina dolores domagoj domenico dominic dominick dominik dominique don donald donatella donna donovan
dora doreen dorin dorina doris dorota dorothy dorottya dorthe douglas dov dragan dragana drago dragos drahomira drazen
drew duarte dubravka dubravko duc dulce dumitru duncan dung durdica durga dusan dustin dwayne dwight dylan earl easton
ebba ebbe eberhard ebru ece eckhard ed eda eddie edeltraud eden edgar edgars edit edith edmund edna edoardo edouard
edson eduard eduardo edward edwin edyta eero eetu eeva efrat egil egle egon egor ehud eija eila eileen einar einat
eino eirik eirini eitan ekaterina ekta elaine eleanor elena eleni eleonora elfriede eli elia eliane elias elif elijah
elin elina elisa elisabet elisabeth elisabetta elise eliska elitsa eliza elizabeth elke ella ellen elli ellie elliot
elliott ellis elly elmer elodie eloise els elsa elsbeth else elsie elvira elzbieta emanuel emanuela emanuele emeka
emel emerson emese emi emil emile emilia emilie emilio emily emine emma emmanouil emmett emmi emoke emre emrys
encarnacion endre eniko enoch enrica enrico enrique enzo eoin ercan erhard eri eric erica erich erik erika erin erkan
ernest ernesto ernie erno ernst ertugrul ervin erwin erzsebet esa esi esko esmeralda espen esperanza esra essi esteban
estela estelle ester esther eszter ethan ethel etienne ettore euan eugen eugene eugenia eugenie eugenio eugeniusz
eunice eunji eunjung eva evald evan evangelia evangelos eve evelyn everett evert evgeni evgenia evgeny ewa ewald ewan
ewelina ezekiel ezequiel ezio ezra fabian fabiana fabien fabienne fabio fabiola fabrice fabricio fabrizio facundo
fadia fadime faisal faith faiza fang farah farai farid farida fariha farouk fatih fatima fatma faustine fay faye
federica federico fedor felicia felipe felix femi femke feng ferdinand ferdinando ferenc fergus ferhat fern fernanda
fernando filip filippo filiz finn fiona fiorella flavio flemming fletcher fleur floor flora florence florentina
florian florin floris floyd folake folke forrest foster foteini fouad franc franca frances francesca francesco
francine francis francisca francisco franciszek franck franco francois francoise franjo frank franklin frantisek
frauke fred freda freddie freddy frederic frederick fredrik freya frida fridtjof frieda friederike friedrich frits
fritz frode fruzsina fumiko funda funmilayo furkan fyodor gabor gabriel gabriela gabriele gabriella gadi gael gaelle
gaetan gaia gail gali galina gamze gang gareth garima garrett garry gary gaspard gasper gaurav gautam gauthier gavin
gayatri gayle geeta geir gellert gemma gene genesis geneva genevieve gennadi gennady gennaro genowefa geoffrey georg
george georges georgeta georgi georgia georgina georgios gerald geraldine geraldo gerard gerardo gerd gerda gergana
gergely gergo gerhard germaine german gero gerrit gertrud gertrude geza ghada ghassan gheorghe giacomo giada giampaolo
giancarlo gianfranco giang gianluca gianna gianni gideon gijs gil gilbert gilberto gilles gilmar gina ginevra ginger
gino gintaras giorgia giorgio giorgos giovanna giovanni girish gisela gita gitte giulia giulio giuseppe giuseppina
gizella gladys gleb glen glenda glenn gloria gokhan gonca goncalo gonzalo gopal goran gordana gordon gottfried govind
grace graciela grady graham grant grayson grazia grazyna greetje greg gregoire gregor gregory greta gretchen grete
grethe griffin grigori grigory gro grzegorz guadalupe gudmundur gudny gudrun guido guilherme guillaume guillermo gul
gulay gulcan guler gulsen gulsum gun gunilla gunnar gunnel gunter gunther gurkan gus gustav gustavo guus guy gwen
gwendolyn gyongyi gyorgy gyula haakon habib habiba hacer hadas hadeel hafsa hai haider haile hailey haim haitham
hajnalka hakan hakim hala halil halina halldora halvor hamed hamid hamish hampus hamza hana hanako hanan hande hanh
hani hanife hank hanna hannah hanne hanneke hannele hannelore hannu hans hao harald haris harish harley harm harold
harper harri harriet harrison harry harsh hartmut haruka haruko haruto harvey hasan hassan hatem hatice hattie havard
havva hayat hayato hazel heath heather heba hector hedvig hedwig hege heidi heidrun heike heikki heiko heini heinrich
heinz helen helena helene helga helge heli helle helmi helmut hema hemant hendrik henk henna henning henri henrietta
henriette henrik henrique henry henryk herbert herman hermann hernan herve hetty hideko hideo hien hieu hila hilal
hilary hilda hilde hildegard hilkka hina hiroko hiroshi hisako hisham hitesh hitomi hiwot hoa holger holly hong hope
horia horst howard hristo hrvoje hubert huda hudson hugh hugo hui hulya hung hunter huong huseyin hussain hussein
hyejin hyunjung hyunwoo ian ib ibolya ibrahim ibtisam ichiro ida ifeoma ignacio igor ihor iida iina ikenna iker ilan
ilaria ildiko ileana ilhan ilias ilie ilkka ilknur ilona ilse ilya ilze iman imani immacolata imogen imran imre ina
inaya inbal indira indu ines inessa inga inge ingeborg ingegerd ingela ingemar inger ingo ingrid ingvar inigo inna
innokenty ioan ioana ioanna ioannis ion ionut iosif ira irena irene ireneusz irfan irina iris irja irma irmgard
irmtraud irvin irving iryna isaac isabel isabella isabelle isaiah isak isamu isha ishaan ishita isidro isla ismael
ismail istvan itai itziar iulian iuliana iva ivan ivana ivanka ivano ivica ivo ivona ivy iwona izabela jaakko jaan
jaana jaber jacek jack jackie jackson jacob jacobus jacopo jacqueline jacques jade jadranka jadwiga jaehyun jagdish
jaime jaka jake jakob jakub jalal jamal james jameson jamie jamila jan jana jane janelle janet janez jani janice
janina janine janis janne janneke janos jantje janusz jaqueline jared jari jarmila jaromir jaroslav jaroslava jaroslaw
jarrod jarvis jasmine jasna jason jasper jatin javier jay jaya jayanti jayden jayesh jean jeanette jeanne jeannette
jedidiah jeferson jeff jefferson jeffrey jelena jemima jenna jennifer jenny jeno jens jeremiah jeremy jeri jermaine
jernej jeroen jerome jerry jerzy jesper jess jesse jessica jessie jesus jette jian jianguo jianhua jianping jie jiho
jihoon jill jim jimena jimin jimmy jindrich jindriska jing jiri jirina jiro jitendra jitka jiwoo jiyoung jo joachim
joakim joan joana joanna joanne joao joaquim joaquin jocelyn jodie joe joel johan johanna johannes john johnathan
johnny jolan jolanda jolanta jolene jon jonas jonathan joni joost jordan jordi jorg jorge jorgen joris jorma jorn
jorunn jose josef josefa josefin josefina josefine josep joseph josephine josette josh joshua josiah josie josip jouko
jouni jovan jovana joyce joze jozef jozefa jozica jozsef juan juana juanita judah judit judith judy juha juhani juho
jukka jule jules julia julian juliana juliane julianna julie julien juliet julieta juliette julio juma jun june
jungkook junho junko junseo juraj jure jurgen jurgita juris jussi justin justyna jutta jyoti jytte kaan kaarina kaden
kadir kai kaija kaisa kaito kaj kajal kalevi kalina kalle kalliopi kalman kalpana kamal kamala kamau kamil kamila
kamran kanchan kaori kapil kara karan kare kareem karel karen kari karim karin karina karishma karl karla karlo karol
karolina karoly karsten kartik kasey kaspar kasper kata katalin katarina katarzyna kate katerina kateryna katharina
katherine kathie kathleen kathrin kathryn kathy kati katie katja katrin katrina katy katya kauko kavita kawthar kay
kayla kazimiera kazimierz kazuki kazuko kazuo kees keiko keith kelley kelli kellie kelly kelsey kemal ken ken'ichi
kenan kendra kendrick kenichi kenji kennedy kenneth kent kenta keren kerri kerry kerstin ketil kevin khadija khaled
khalid khanh kieran kim kimberly kimi kimmo kinga kinsley kira kiran kirill kirk kirsi kirsten kirsti kirstine kishore
kiyoko kjell kjersti klaas klara klaudia klaus klavdia klemen knut kody koen kofi koji kojo komal konrad konstantin
konstantina konstantinos kostas krasimir kresimir krishna krista kristen kristi kristian kristiina kristijan kristin
kristina kristine kristjan kristoffer kristopher kristy kristyna krisztian krisztina kriti krystian krystyna krzysztof
ksenia kseniya kubra kumiko kunal kunle kurt kvetoslav kvetoslava kwame kwesi kyle kylie kyllikki kyoko kyra kyriaki
kyriakos kyung lacey ladislav ladonna laetitia laila lajos lakshmi lalit lamar lamberto lamia lamont lan lana lance
landon lara larisa larissa larry lars lasse laszlo lata latasha latha latifa latoya laura laurel lauren laurence
laurent lauri laurie lautaro laverne lawrence layla lea leah leandro leann lech lee leela leena lei leif leila lela
leland lena lenka lennart leo leon leona leonard leonardo leonel leonid leonie leonor leopold leroy lesley leslie
leszek leticia letizia lev levent levente levi lewis leyla liam liang lianne libor libuse lida lidia lidija lidiya
lieke liesbeth lieselotte liga ligia liisa lila lilia lilian liliana lilla lillian lily limor lina lincoln linda
lindiwe lindsay lindsey ling linh linnea linus lionel lior liora lis lisa lisbeth lise liv livio liviu liza ljiljana
lloyd loan logan loic lois lokesh lola lone long loredana lorella lorena lorenzo loretta lori lorna lorraine lothar
lotta lotte lottie lou louis louise lourdes lovisa lovro luan luana luann luay lubna lubomir lubos luc luca lucas
lucia lucian luciana luciano lucie lucien lucija lucille lucio lucja lucjan lucy lucyna ludek ludmila ludovic ludvig
ludwig ludwik luigi luis luisa luise luiz luka lukas lukasz luke lula luminita lumir luther lutz luuk luz luzia lwazi
lydia lyle lynn lynne lyuba lyubomir lyubov lyudmila maaike maarit maarten maartje mabel macarena machiko machteld
maciej mackenna mackenzie maddalena madeleine madeline madhav madhu madhuri madison mads mae mafalda magda magdalena
magdolna maggie magne magnus maha mahdi mahesh mahmoud mahmut mahsa maija maike maire maite maja majda majid maki
makoto maksim maksymilian malak malcolm malgorzata malik malin malini mami mamta manal mandla mandy manfred manish
manisha manju manlio manoel manoj manolis manon mansour manuel manuela marat marc marcel marcela marcella marcello
marcelo marcia marcin marcio marco marcos marcus mareike marek maren margaret margareta margarete margarida margarita
margaux margherita margie margit margot margret margriet marguerite margus mari maria mariah mariam marian mariana
marianna marianne maribel marie marieke marija marijana marijke marika mariko marilyn marina marinela mario mariola
marion marisa marisol marissa marit marius mariusz mariya marja marjatta marjorie mark marketa markku marko markus
marleen marlene marlies marloes marlon marsha marshall marta martha martijn martim martin martina martine marton
martti martyna marvin marwan mary maryam maryann masahiro masako masao masashi masato mason massimo mate matea matej
mateja mateo mateus mateusz matheus mathias mathieu mathilda mathilde matija matilda matilde matjaz mats matt matteo
matthew matthias matthieu matti mattias mattie matvei maud maura maureen mauri maurice mauricio maurizio mauro
maverick mavis max maxim maxime maximilian maximiliano maxine maxwell may maya mayank maysa mayumi mazen meagan
meenakshi meera megan megha meghan megumi mehdi mehmet mei meike meiling meir melanie melba melike melinda melisa
melissa melody meltem melvin menachem merav mercedes meredith merete merike merja merle merry mert merve mervi meryem
metha metin mette mia micah michael michaela michail michal michel michela michele michelle michiel michiko midori
mieczyslaw mieke miguel miha mihael mihaela mihai mihail mihaly miho mika mikael mike mikhail miki mikkel mikko miklos
milada milagros milan mildred milena miles milica milla mille millie milo milorad miloslav miloslava miluse min mina
mindaugas mindy mine ming minh minho minji minjun minna minnie minoru minseo mio miodrag miranda mircea mireille
mirela mirella miriam mirja mirjam mirjami mirjana mirko miroslav miroslava miroslaw miroslawa misty mitchell mitra
mitsuo miwa miyu miyuki mizuki mladen moa mogens mohamed mohammad mohammed mohan mohini mohit moira moises mojca
mollie molly momoko mona monica monika monique montserrat moran mordechai morgan moritz morris morten moses moshe
mostafa mounir muge muhammad muhammed mukesh mukta mulu muna murad murat muriel murray musa mustafa mwangi mykhailo
mykola myles myra myrtle na naama nabil nabila naciye nada nadav nadeem nader nadezda nadezhda nadia nadine nadira
nadja nahla naim naima najwa nakul nalan nam namrata nana nanami nancy nandini naoki naoko naomi naresh nash nasrin
nasser natalia natalie nataliya natalya natan natasa natascha natasha nate nathalie nathan nathaniel natsuki natsumi
naveen nawal nazli neal nebojsa ned neelam neema neeta neha neil nejc nela nell nellie nelson nenad nerys nese nestor
nettie nevaeh nevena ngoc ngozi nguyen nhung niall niamh nicholas nichole nick nicola nicolae nicolas nicole nicoleta
nicoletta nidhi niels nienke nigel niina nikhil nikita nikki niklas niko nikola nikolai nikolaos nikolay nikoletta
nikolina nikos nilesh nilgun niloufar nils nina ning nino nir nirmala nisha nisreen nita nitin nizar njeri nkosazana
nneka noa noah noam noboru nobuo noel noelia noemi noemie nolan nomvula nonna noor noora nora norbert noreen noriko
norma norman nour nuno nunzia nuray nurcan nuria nurit nurten oana obinna oceane octavian octavio odd odette ofer
ognjen oguz okan oksana olaf olafur olav olavi oldrich ole oleg oleksandr oleksandra oleksiy olga olimpia oliver
olivia olivier oliwia olli olof olumide oluwaseun oluwaseyi om omar omer ondrej onur oona oonagh opal oren orest
oreste orhan orit orla orlando ornella orsolya orville orvokki osama osamu oscar oskar osman osmo osnat ostap osvaldo
otakar otieno otis otto outi ove ovidiu owen oya oystein oyvind ozan ozgur ozlem paavo pablo padma paige paisley paivi
pal pallavi palmira paloma pam pamela panagiota panagiotis pankaj panos paola paolo par paraskevi parisa parker parth
parvati pascal pascale pasi pasquale pat patricia patrick patrik patrizia patrycja patryk patsy patty paul paula
paulette pauli paulien paulina pauline paulo pavel pavla pavle pavlina pawel payal pearl pedro peggy pekka pelin
penelope peng penny pentti per percy pernilla perry pertti petar pete peter petr petra petri petro petros petru petrus
petter petya peyton phil philip philipp philippe phillip phoebe phuc phuong phyllis pia pierluigi piero pierre pieter
pietro pilar pim pinar ping piotr piper pirjo pirkko piroska piyush plamen polina polly polona pooja poonam prabhu
prachi pradeep prakash pramod pranav prasad prashant prateek pratibha praveen predrag preeti prem premysl preston
priit primoz priscilla priya priyanka przemyslaw puja puneet pushpa pyotr qasim qiang qing quan quang quentin quincy
quinn quynh rabia rachael rachel rachid rachna radek radha radhika radka radmila radoslaw radovan radu rafael rafaela
rafal raffaele raffaella rafiq raghav raghu ragna ragnar ragnhild rahma rahul raija raili raimo raimunda rainer raisa
raj rajani rajat rajeev rajendra rajesh rajiv rajkumar rajmund rakesh ralf ralph raluca raman ramazan ramesh rami
ramon ramona ran rana randall randi randolph randy rani rania ranjit raphael raquel rasa rasha rashid rashmi rasmus
rastislav ratko raul rauno ravi ravit ray rayan raymond raymundo razan razvan reagan rebecca recep reem regina
reginald reginaldo reid reidar reijo reiko reiner reinhard reinhold reka rekha remedios remi remus remy ren renan
renata renate renato rene renee renske renu renuka renzo reuben rex reza rhiannon rhonda rhys riad rianne ricardo
riccardo richa richard rick rickard ricky rie riikka riina riitta rik rika riley rima rimma rin rino risto rita ritesh
ritu ritva rivka riya roar rob robert roberta roberto robin robson robyn rocco rochelle rocio rocky roderick rodney
rodolfo rodrigo roel rogelio roger rogerio rohan rohit roisin rok roland rolf romain roman romana romano romuald ron
ronald ronaldo ronen rong ronit ronnie roos rory rosa rosalie rosangela rosario rose rosemary roshni rosie rositsa
ross rossella rostislav roswitha rowan roxana roxanne roy royce roza rozaliya ruben ruby ruchi rudiger rudo rudolf
rudy rufus ruggero rui rukiye rula rumen rumi rune rupa rupert ruqayya ruslan russell rustam rusty rut ruta ruth
ruthie ruxandra ruzena ruzica ryan rylee ryo ryoko ryota ryszard ryuichi saara sabah sabine sabrina saburo sachiko
sachin sadhna sadie sadiq saeed safa safiye safwan sagar sahar sahil sahra said saif saija sajid sakari saki sakura
salah saleh salih salim salla sally salma salvador salvatore salwa sam samantha samara sameer sami samir samira samo
sampo samuel sana sandeep sander sandhya sandor sandra sandrine sandro sangeeta sangwoo sanja sanjana sanjay sanna
sanne santeri santiago santino santo santosh saoirse sara sarah saraswati sari sarit sarita sarka sarvesh sasa sasha
saskia satish satomi satoshi satu satya saul saurabh savannah savely savita savo sawyer sayaka sayuri scarlett scott
scotty seamus sean sebastian sebastiao sebastien seda seema segun seija seiji selam selena selim selin selma sema
semyon senja senka senni seojin seojun seoyeon seppo serap serdar serena serenity serge sergei sergey sergio serhiy
serife serkan seth setsuko severine severino sevgi sevil sevim shahla shai shaima shakir shalini shan shane shani
shankar shannon shanti shari sharif sharmila sharon shashank shaul shawn sheena sheila shekhar shelby sheldon shelley
sherman sherri sherry sheryl shigeru shilpa shimon shin shinji shintaro shiori shira shirin shirley shiv shivam
shizuka shizuko shlomo shobha shoichi shoji shoshana shota shreya shreyas shruti shu shubham shweta sibel siddharth
sidney siegfried sigal sigmund signe sigrid sigridur sigurd sigurdur siham silas silja silke silvano silvia silvija
silvio silviu silviya simo simon simona simone simran sinan sindre sinead sini sinikka sinisa siobhan sipho sirje
sirkka sirpa sissel sita siv sivan sjoerd sjoukje skylar sladjana slaven slavica slavko slavomir slawomir slobodan
smita sneha snezana snezhana snjezana sofia sofie sofya sohail soile solange soledad solene solomon solveig solvor
sonal sonali songul sonia sonja sonny sonu sonya soojin sophia sophie soraya soren sorin sorina sota souad soyeon
spela spencer spyridon spyros srdan srdjan sridhar srinivas stacey stacy stan stanislav stanislava stanislaw
stanislawa stanka stanley stavros stavroula stefan stefania stefanie stefano stefica stefka steinar stelios stella
stepan stepanka stephane stephanie stephen sterling stevan steve steven steward stewart stian stig stina stjepan
stoyan stuart sture stylianos suad subhash sudha sudhir sue sueli sujin sule suleiman suleyman sultan suman sumaya
sumiko sumit sungmin sunil sunita surbhi suresh surya susan susana susanna susanne sushil sushma susie susumu suvi
suzanne svatopluk svea sven svenja sverre svetlana svyatoslav swapnil swati sylvain sylvester sylvia sylviane sylvie
sylwia synnove szabina szabolcs szilard szilvia szymon tabitha tadashi tadeas tadeusz taehyung tage taha tahir tahira
taina taisiya takako takashi takeshi takis takuya tal talal tali talia tam tamar tamara tamas tamer tamiko tammy taner
tanja tanvi tanya tao tapani tapio tara taras tarek tarik tariq tarja taro taru tarun tasha tatana tatenda tatiana
tatiane tatjana tatsuya tatyana tauno tayfun ted teemu tekla tellervo temitope tendai teodor teodora teppo terence
teresa terese terez tereza terezinha terhi terje tero terrence terri terry tesfaye tessa tetsuya thabo thaddeus thais
thanasis thandi thandiwe thang thanh thao thelma themba theo theodor theodora theodore theodoros theresa therese thi
thiago thibault thierry thijs thomas thor thorsten thu thuy tiago tiberiu tibor tien tiffany tigist tihomir tiina tiit
tiiu tijana tijmen tilda tim timea timo timofei timothy timur tina tineke ting titilayo tiziana tiziano tjasa tobias
toby todd todor toivo tolga tom tomas tomasz tomer tomi tomislav tommaso tommy tomo tomohiro tomoko tomomi tone toni
tony tonya toomas tor torbjorn tore torill torsten toru toshiaki toshiko toshio tove tracey traci tracy traian trang
travis trent trenton trevor tricia trijntje trine trisha tristan trond troy trudy trung truus tsubaki tsubasa tsutomu
tsvetelina tuan tucker tudor tugba tuija tulay tuncay tunde tung tuomas tuomo turgut turid tushar tuula tuulikki tuva
ty tyler tyrone tyson tytti uche uday udo ufuk ugo ugur ulf ulla ulrich ulrik ulrika ulrike ulyana ulysses uma umar
umberto umesh umit unni uolevi urban urho uri urmas urmila uros ursa ursula urszula usha uta ute utkarsh uwe vaclav
vadim vaino valdir valentin valentina valeri valeria valerie valerio valeriya valery van vance vanda vandana vanessa
vani vanya vappu varsha varun varvara vasco vasil vasile vasileios vasili vasiliki vasilis vasilisa vasily vasudha
vasyl vaughn vedran vedrana veena veikko veli velimir veljko velma vendela vendula venkatesh vera vered verena vernon
veronica veronika veronique vesa vesna vibeke vicente vicki vicky victor victoria vidar vidya viera vigdis vijay vikas
vikram viktor viktoria vilho ville vilmos vimala vinay vincent vincenzo vinh vinicius vinod viola violet violeta
viorel viorica vipin viral virgil virginia virginie vishal vishnu vit vitali vitaly vito vitor vitoria vittoria
vittorio vivek viveka vivian viviana vivien vivienne vjekoslav vlad vladimir vladimira vladislava vlasta vlastimil
vojtech volkan volker volodymyr vratislav vsevolod vuk vuokko vy vyacheslav vytautas waclaw wade wael wafa waldemar
waleed walid wallace walter waltraud wambui wanda wanjiku warda warren wayne wei wen wenche wendell wendy wenjing
werner weronika wesley whitney widad wiebke wieslaw wieslawa wiktor wiktoria wilbur wilfred wilhelm wilhelmina willard
willeke willem willemijn william willie willow wilma wilson wim winifred winston witold wladyslaw wlodzimierz wojciech
wolfgang wolfram woodrow wouter wyatt xavi xavier xia xiang xiao xiaoling xiaoming xiaoyan ximena xin xiu xuan xue
yaakov yael yahya yair yamini yan yana yang yannick yannis yaron yaroslav yasar yasemin yash yasin yasmin yasmine
yasser yasuko yasuo yasushi yavuz yaw yegor yehuda yehudit yekaterina yelena yeliz yen yesim yevgenia yevgeny yewande
yi yiannis yilmaz ying yitzhak yoav yogesh yoichi yoko yolanda yonas yonatan yong yordan yordanka yosef yoshiaki
yoshihiro yoshiko yoshinori yoshio younes youngho yousef youssef yrjo yu yuan yue yui yuji yuka yukari yuki yukiko
yukio yulia yuliia yuliya yumi yumiko yun yuna yuri yuriko yuriy yury yusuf yusuke yuta yutaka yuto yvan yves yvette
yvonne zach zachariah zachary zack zahra zaid zain zainab zakaria zakhar zaki zakia zala zane zanele zarko zaynab
zbigniew zbynek zdenek zdenka zdravko zdzislaw zdzislawa zeev zehava zehra zelda zeljka zeljko zenon zeynep zhanna
zhen zhi zhong ziad ziga zinaida zita zlatko zoe zoey zofia zohra zoltan zora zoran zorica zornitsa zoya zsanett
zsigmond zsofia zsolt zsuzsa zsuzsanna zubair zuberi zulaikha zuzana zuzanna zvi zvjezdana zvonimir zygmunt
"""
)
"""Given names."""

WORDLIKE_GIVEN_NAMES = read_words(
    """
ad adam adi akash alba alexandria ali amal aman amber amit ana anand anders angel angelica anh ann antonio april
archer are asha aurora austin autumn aya bard bart bela bella bent bharat bill bin blanca blanche bo brooke brooklyn
bruna can candice carter celeste cem cesar chad chao charlotte chelsea christian claire colin concepcion constance
consuelo cooper crystal dag dale dallas dao dawn dean deniz dev devi dolores don dov drew dulce dung earl easton ece
ed eda eden edit ella else emi eri ernest erno esperanza ester eve faith fern fletcher fleur floor florence forrest
frances franco gaia gail gali gang genesis geneva georgia german gil ginger glen glenn grace grant gro gul gus guy
hadas hai hana hank hao harley heath hege hoa holly hong hope hudson hui hunter iman iris isla ivy jack jackson jade
jamal jan jay jaya jean jefferson jesus jie jing jo jordan juliet jun june jyoti kai kent kiran lacey lan lata lee lei
leon levi liang lila lily lincoln ling linh lior liv long lou lourdes luigi luz madison maki mami mandy marc marie
mario mark marko marta mason max may maya mei melody mercedes merry mika miki milagros milan miles min mina mine ming
mio misty moses na nana nell nese nevaeh ning nir noam noel noor norma nour odd ole om opal orlando otto ove oya paige
paisley pal par parker pascal pascale pat pearl peng penny per perry pia pilar ping piper prakash prem preston qing
ran rani ray reid remedios ren rex rie rin rita rob robin rocco rocio rocky roman ron rong rosario rose rosemary rowan
roy russell rusty sagar said sanna santiago santo savannah sawyer seda sema serena serenity shai shan shani shanti
sherry shin shu sissel sita sofia soledad sonny spencer stella sterling stig sue sultan surya tal tali tao thao thi
thor thu ting tone tor tove trang ty tyler ulla uma umit unni urban usha van veena vera vered victoria vijay violet
virginia vit vito vy wade wei wen xia xiang xiao xin xiu xue yan yang yen yi ying yong yu yuan yue yun zelda zhi
"""
)
"""Given names that are also everyday words, places or brands: they need a family name beside them."""

FAMILY_NAMES = read_words(
    """
abe abebe abrahamsson acosta adam adamczyk adams adebayo adeyemi agarwal agrawal aguilar ahmed ahn ahonen akhtar
albrecht alekseev alexander ali allen almeida alvarado alvarez alves amato andersen anderson andersson ando andrade
andre andreassen andreev andrews antoine antunes aoki appiah arai araujo arias armstrong arnaud arnold arora arslan
arvidsson asante aslan aubert aubry austin avraham axelsson ayala aydin azevedo bai bailey bailly baker bakker balazs
balog balogh banerjee banks baran barbier barbieri barbosa barnes baron barone barre barros barthelemy bartos basile
batista battaglia bauer baumann beck becker begum bekele bell bellini benard benedetti benes bengtsson benitez bennett
benoit berg berger berglund bergman bergmann bergqvist bergstrom bernard bernardi bernstein berry bertin bertrand
besson bhatia bianchi bianco biro bishop biton bjork black blanc blanchard blanco blazek blomqvist boateng bogdan bohm
bondarenko bonnet borisov boros bos bose botha boucher bouchet boulanger bourgeois bouvier bowman boyd boyer boyko
bradley brandt braun breton brooks brouwer brown brun brunet bruno bryant bui burke burns burton busch butler byrne
caballero cabrera cai calvo campbell campos cano cao caputo carbone cardenas cardoso carlier carlson carmona caron
carpenter carpentier carr carrasco carre carroll carter caruso carvalho casado castillo castro cattaneo cavalcanti
celik cermak cerny cetin chapman charles charpentier chatterjee chauhan chauvin chavez chen cheng chevalier chevallier
chiba cho choi chopra choudhury chowdhury christensen christiansen christodoulou cisneros claes claesson clark clarke
clement coelho cohen cole coleman colin collet collin collins colombo conte conti contreras cook cooper coppola
cordier correia cortes costa costantini cousin cox crawford crespo cruz cui cunha cunningham dabrowski dahan dahl
dahlberg damico dang dangelo daniel daniels danielsson das dasilva david davies davis day dean deangelis deboer
degraaf degroot dejong dekker delaunay delgado deluca demartino demir deng denis derosa desai desantis deschamps
desmet devries dewit dias diaz dietrich dijkstra ding dixon dlamini do dogan dolezal dominguez donati dong
doylegallagher du dubey dubois dudek dufour dumas dumont duncan dunn duong dupont dupuis dupuy duran durand dutta
duval dvorak edwards egorov eide eklund ekstrom eliasson elliott ellis endo engel engstrom eriksen eriksson escobar
espinoza esposito esteban estrada etienne evans eze fabbri fabre fan fang farina farkas faure fedorov feher fekete
feng ferguson fernandes fernandez ferrara ferrari ferraro ferreira ferrer ferretti ferri fiala fields figueroa fiore
fischer fisher fleury flores fodor fonseca fontaine fontana ford forsberg foster fournier fowler fox francois frank
franke franklin fransson fredriksson freeman freitas friedman friedrich fu fuchs fuentes fujii fujimoto fujita
fujiwara fukuda fuller gaillard gal gallardo gallego galli gallo gao garcia gardner garnier garrett garrido garza
gatti gauthier gautier gay gentile george georgiou gerard germain ghosh gibson gil gilbert gillet gimenez giordano
girard giraud giuliani goldberg goldstein gomes gomez goncalves gonzales gonzalez goossens gordon gorski goto govender
grabowski graf graham grant grassi grasso gray greco green greenberg greene griffin grigoriev grondin gross guerin
guerra guerrero guichard guillaume guillot gulyas gundersen gunnarsson gunther guo gupta gustafsson gutierrez guyot
guzman haas hagen hahn hajek hakansson hall halvorsen hamalainen hamilton hamon han hansen hanson hansson hara harada
harper harris harrison hart hartmann harvey hasegawa hashimoto haugen hawkins hayashi hayes he hedlund heikkila
heikkinen heinonen heinrich hellstrom henderson hendriks henriksen henriksson henry hernandez herrera herrmann herve
hicks hidalgo hill hirano hoang hoarau hoffman hoffmann hofmann holm holmberg holmes hong horak horn horvath hossain
hou howard howell hu huang huber hubert hudson huet hughes humbert hunt hunter hussain huynh hwang ibanez iglesias
ikeda imai inoue ioannou iqbal isaksson ishida ishii ishikawa islam ito ivanov iversen iwasaki iyengar iyer jablonski
jackson jacob jacobs jacobsen jacquet jager jain jakab jakobsen jakobsson james jang jankowski jansen janssens jansson
jarvinen jaworski jean jelinek jenkins jensen jeppesen jesus jia jiang jimenez jin johannessen johansen johansson
johnsen johnson johnston jokinen joly jones jonsson jordan jorgensen joshi juhasz julien jung kaczmarek kaiser kamau
kaminski kaneko kang kaplan kapoor kara kariuki karjalainen karlsen karlsson kato katona katz kavanagh kaya keller
kelley kelly kennedy khan khanna khatun khumalo kikuchi kilic kim kimura king kinnunen kinoshita kiraly kis kiss klein
knight knudsen knutsen kobayashi koc koch kocsis kohler kojima kolar kondo konecny konig kopecky korhonen koskinen
kovacs kovalenko kovar kowalczyk kowalski kozlov kozlowski kral kramer kratochvil kraus krause kravchenko krawczyk
kristensen kristiansen kriz krol kruger kubo kucera kudo kuhn kuhne kumar kurt kuznetsov kwiatkowski kwon lacroix
lahtinen laine laitinen lakatos lambert lamy lane lang lange langlois laporte larsen larson larsson laszlo laurent
lauritsen laursen lawrence lawson le lebedev leblanc lebrun leclerc leclercq lecomte lee lefebvre lefevre legall leger
legoff legrand lehmann lehtinen lehtonen lejeune lemaire lemaitre lemoine leon leone leroux leroy leveque levy
lewandowski lewis li liang liao lim lima lin lind lindberg lindgren lindqvist lindstrom little liu lofgren lombardi
lombardo long longo lopes lopez lorenz louis lozano lu lucas ludwig lukacs luna lund lundberg lundgren lundin
lundqvist lundstrom luo ly lynch ma macdonald machado mackenzie maclean madsen maeda maes magnusson magyar maier
maillard majewski makarov makela makinen maldonado malhotra malik malinowski mallet maly mancini marchal marchand
marchetti marciniak marechal marek mariani marie marin marini marino marques marquez marshall martensson martin
martinelli martinez martini martino martins martinsen marty maruyama mason masson masuda mathieu matos matsuda matsui
matsumoto matsuo matthews mattila mattsson mayer mazur mazza mcbride mccarthy mccoy mcdonald mcgregor mckenzie medina
mehta meier meijer mejia melnyk melo menard mendes mendez mendoza meng menon mensah mercier mertens messina meszaros
meunier meyer michalak michalski michaud michel mikhailov milani miller millet mills mishra mitchell miura miyamoto
miyazaki mizrahi moen mokoena molina moller molnar monnier montanari monteiro montero montgomery monti moore mora
morales moreau moreira morel morelli moreno moretti morgan mori morin morita morozov morris morrison mortensen moulin
moura mukherjee mulder muller munoz murakami murata murphy murray mwangi myers nagy naidoo naidu nair nakagawa
nakajima nakamura nakano nakayama nascimento navarro navratil ndlovu nelson nemec nemeth neri neumann neves ngo nguyen
nichols nicolas nielsen niemi nieminen nieto nikitin nikolaev nikolaou nilsen nilsson nishimura njoroge nkosi noel
noguchi nomura nordstrom novak novikov novotny nowak nowakowski nowicki nunes nunez nwosu nyberg nystrom obi obrien
ochoa oconnor ogawa oh ohno okada okafor okamoto okonkwo okoye olah olesen oliveira oliver olivier olofsson olsen
olson olsson olszewski oneill onishi ono orlando orlov orozco orsos ortega ortiz osei ostrowski osullivan ota otieno
otsuka otto owens owusu ozdemir ozkan ozturk padilla pagano palmer palmieri palsson palumbo pan pandey papadopoulos
papp pappas paris parisi park parker pascual pasquier patel patterson pavlov pawlak pawlowski payet payne pedersen
peeters pellegrini pellegrino pelletier pena peng pereira peretz perez perkins perret perrier perrin perrot perry
persson peters petersen peterson petit petrov pettersen pettersson pfeiffer pham phan philippe phillips picard pichon
pierce pierre pietrzak pillai pinter pinto piotrowski piras pires pohl poirier pokorny polak popov porter pospisil
poulain poulsen powell pretorius prevost price prieto prochazka qin qiu racz rahman ramirez ramos rantanen rao raposo
rasmussen rathore ray reddy reed reid reis remy ren renard renaud renault rey reyes reynaud reynolds ribeiro ricci
rice richard richards richardson richter riley rinaldi rios riva rivas rivera riviere rizzi rizzo robert roberts
robertson robin robinson rocha roche rodrigues rodriguez roger rogers rojas rolland romano romanov romero rose rosen
rosenberg ross rossetti rossi roth rousseau roussel roux roy royer rubio ruggiero ruiz russell russo rutkowski ruzicka
ryan saarinen saez sahin saito sakai sakamoto sakurai sala salazar salinas salminen salo salonen samuelsson sanchez
sandberg sanders sandor sandoval sanna sano santana santiago santoro santos sartori sasaki sato sauer savolainen
saxena schmid schmidt schmitt schneider scholz schreiber schroder schubert schulte schultz schulz schulze schumacher
schuster schwarz scott sedlak seidel semenov sen seo serra serrano sethi shah shapiro sharma shaw shen shevchenko shi
shibata shimizu shin sikora silva silverman silvestri simmons simoes simon simpson sims simsek singh sipos sjoberg
sjogren smirnov smit smith smits snyder soares soderberg sokolov solberg solis soloviev sommer song sorensen
sorrentino sosa soto sousa souza spencer srivastava stein stepanov stephens stepien stevens stewart stone strand su
suarez sugawara sugimoto sugiyama sullivan sun sundberg suzuki svendsen svensson svoboda szabo szalai szewczyk
szilagyi szucs szymanski takacs takada takagi takahashi takeda takeuchi tamura tan tanaka tang taniguchi tavares
taylor teixeira tesfaye tessier testa thomas thompson thomsen tian tiwari tkachenko tomaszewski torok torres toth tran
trivedi trujillo tucker tuominen turner turunen uchida uddin ueda ueno urban valdez valencia valentini vandenberg
vandermeer vandermerwe vanek vanleeuwen varga vargas vasiliev vasquez vasseur vazquez vega velasco venter vera verma
vesely vicente vidal vieira viklund villa villanueva villarreal vincent virtanen visser vitale vitali vlcek vo vogel
vogt voigt volkov vorobiev vos vu wada wagner walczak walker wallace wallin walsh walter wang wanjala ward warren
washington watanabe watkins watson weaver webb weber wei weinstein weiss welch wells werner west wheeler white
wieczorek wikstrom willems williams williamson willis wilson winkler winter wisniewski witkowski wojcik wolf wolff
wong wood woods wouters wozniak wright wrobel wroblewski wu xia xiao xie xiong xu xue yadav yakovlev yamada yamaguchi
yamamoto yamashita yamazaki yang yao ye yildirim yildiz yilmaz yin yokoyama yoo yoon yoshida young yu yuan zaitsev
zajac zakharov zalewski zamora zeman zeng zhang zhao zheng zhong zhou zhu ziegler zielinski zimmermann zou
"""
)
"""Family names."""

WORDLIKE_FAMILY_NAMES = read_words(
    """
abe adam amato bai baker banks baron barre barros bauer bell berg bianchi bianco bishop black blanc blanco boateng
bose boucher boulanger boyer braun brown bui busch butler calvo campos cano cao carpenter carre carter castillo celik
charpentier cho coelho cole conte cook cooper cortes costa crespo cruz dahl dang das day dean demir dias do dong du
dutta eide engel eze fan fang fields fiore fisher flores fontaine ford fowler fox fu fuchs fuller gardner gay gentile
germain graf grant grassi grasso gray greco green gross guerrero hahn hall han hart haugen he herrera hidalgo hill
holm hong horn hou hu hunt hunter islam ito jain jean jesus jin jones jordan jung kaiser kara kaya kilic kim king
klein knight koc koch konig kurt laine lamy lane lang le lee lemaitre leone leroy lim lima lin lind little lombardi
long lu luna lund ma machado marchand marie marshall martin mason melo meng mensah mercier milani miller mills moen
molina mora moreira moreno nair neri ngo niemi nieto noel nunez obi oh ono palmer pan paris park parker petit pinto
porter price prieto qin ramos rao ray reis rey reyes rice richter rios riva riviere robin rocha roche rojas romano
rose ross rossi roth roux royer rubio russo sahin sala santos schwarz sen seo serra shah shi silva sommer song soto
stein stone strand su sun tan tang taylor torres turner urban valencia vargas vega villa vo vogel vu wagner walker
ward washington weaver weiss welch wells west white winter wolf wong wood woods wu xia xie xu xue ye yildiz yin young
yu
"""
)
"""Family names that are also everyday words: they need a given name beside them."""

NOT_NAMES = read_words(
    """
a ab ababa aber about above accept according accordingly account accountant accounts accra acer act action active
actually add addis additional additionally address adidas admin administration administrator adobe advanced adventure
advice advisor afghanistan africa african after ag again against age agency agent ago agreement ain't air aires
airline airlines airport airways alabama alaska albania albanian algeria algerian all allah alpha alps also
alternatively although always am amazon ambassador america american amex among amsterdam an analyst ancient and
android angeles animation ankara annual another answer answers antarctic antarctica antique any anyone anything anyway
apartments api app apple application apply apr apt arab arabia arabian arabic archbishop architect arctic area aren't
arena argentina argentine arizona arkansas armenia arms army art article artist arts as asap asia asian ask assistant
assn associates association assume astronaut asus at athens athlete atlanta atlantic atlas atm atms attention attorney
auckland audi auf aug aus australia australian austria austrian author authority auto ave avec avenue average award
awards azerbaijan aztec azure baby bachelor back bad baghdad bahamas bahrain bakery balance bali balkans baltic
baltimore bangalore bangkok bangladesh bank bankcard banking bar barbados barcelona barclays baseball basic basketball
bath battle bay bbc bc bce be beach bears beautiful because been before bei beijing beirut belarus belfast belgian
belgium belgrade belize beloved below benin berlin bermuda besides best beste better between beyond bhutan bible big
bij billboard billing binance birmingham birthday bitcoin bitte blackberry bldg block blue blueberry blues bluetooth
blvd bmw board bogota bolivia bolivian bombay bonjour book books bookstore boolean bordeaux bosnia bosnian boss boston
both botswana bought boutique bowl box boxing boy boys brazil brazilian bread breakfast brewery bridge briefly bring
brisbane bristol britain british broadway broncos bronze bros brother brothers brunei brussels bucharest budapest
buddhist budget buenas buenos building bulgaria bulgarian bulls burundi bus business but butter button buy bv by ca
cable cafe cairo cake calculate calculation calcutta calgary california call calls cambodia cambodian cambridge
cameroon camp can't canada canadian canberra cancel candidate cannot cap capital captain car cara card cardiff
cardinal cards care caretaker caribbean caro carolina cars casablanca cash cashier castle cat category cathedral
catholic cats caucasus cbs cd ce celtic cemetery center central centre century ceo certainly certificate ces cette
chair chairman challenge championship change changing channel chapel chapter charge charter chase che check cheddar
cheers cheese chemistry cher chere chi chicago chicken chief child children chile chilean china chinese chip chocolate
christ christmas church ciao cinema circle cirrus citibank cities citizen city civil claim claims class classic clear
clearly cleveland click client climate clinic clock close closed club cnn co coach coast coca code coffee coke cola
cold coliseum colleagues college cologne colombia colombian colonel colorado com combined come comedy coming command
commander comment commerce commission commissioner committee common commons commonwealth communist community como
company compare complete computer con concert conference confirm congo congress connecticut consequently conservative
consider constitution consul consulting contact content continue control convention conversely cookie cookies cool
coordinator copenhagen copy core corner corp corporation correct cortana cost cottage could couldn't council count
countess country county couple course court covid cowboys cream create credit creek crescent crime croatia croatian
cross crown crypto cryptocurrency ct cual cuando cuba cuban cup curator currency currently customer customers cypriot
cyprus czech dad daily dakar dakota dam damn dance danish dank danke dans danube dark darling dass dat data database
date days dc de dealership dear debit dec december decision deep defense definitely degree dein delaware delete delhi
delivery dell delta dem democracy democratic democrats den denmark denna dentist denver department deposit depot dept
deputy der des describe design desk detective determine detroit detta developer development deze dhl did didn't die
digital diner dinner direct director disclaimer discover discuss disease disney district dit division dock doctor
documentary does doesn't dog dogs doing dollar dollars dolphins dome don't donde dont door double dove dow down
downtown dr drama draw dream dresden drink drive driver driving drop dubai dublin duchess due duke durch during
dusseldorf dutch dvd e each eagles earlier early earth east easter eastern easy eat ebay economic economics ecuador
ecuadorian edge edinburgh edition editor editors edmonton education een effective egypt egyptian eight ein eine einer
eines either el ela ele election electric electronic eleven elle eller elles ellos email embassy emergency emperor
empire employee employer empress en end energy engine engineer engineering england english enjoy enter enterprises
entertainment entry environment environmental equal er error es especially essay est esta establish estas estate
estates este estimada estimado estimate estonia estos et ethereum ethiopia ethiopian eu euro europe european euros
evaluate even evening event eventually ever every everybody everyone everything evil example excel excellent except
exchange excuse executive exercise expect explain express expressway facebook fact factory fahrenheit fair fairgrounds
falcons fall falls false family fantasy far fargo farm farms fashion fast father favorite fax feb february federal
federation fedex fee feel fest festival few fiction field fifty fight figure fiji file filipino fill film final
finally finance financial find fine finland finnish fire firefox firm first fiscal fish fit five fix fl flats fleet
flight florida flu fly folks follow following food foot football for force foreign forest forever form former formula
fort forty forum forward foundation founded founder fountain four fran france frankfurt frau free freedom freeway
french fresh fri friday friend friends from front full fun fund funny fur further furthermore future galleries gallery
galway gambia game games garden gardens gas gate gateway gdansk gdp gegen general generally generate genoa gentlemen
georgian germany get getting ghana ghanaian giant giants gift girl girls give given glacier glasgow glass gli global
gmbh gmt go goal god gods going gold golden golf gone good goodbye google got gothenburg gov government governor
gracias grade grand granted grazie great greatest greece greek greetings grenada grill groceries ground group grove
guard guatemala gucci guess guest guide guinea guitar gulf guten guyana gym had hadn't hair haiti half hallo halloween
hamburg hampshire hand hanoi happy harbor hard harvard has hasn't hate havana have haven't having hawaii hawaiian he's
head headmaster health hear heart heaven heavy heights hej hell hello help helpful helsinki hence her here here's
heritage herr hers herzegovina het hey hi high highlands highway hills him himalayas hindu hint hiring his historic
historical history hockey hoe hola holdings holiday hollywood holy home honda honduras honest honestly honey honor
hopefully horror horse hospital hot hotel hotels hour hours house houston how how's however hsbc html http huawei
human hundred hungarian hungary hurricane hwy hypothesis i i'd i'll i'm i've iban ibm ice ice-cream iceland icelandic
ich id idaho idea identify if ihr ikea il illinois ils im image imagine imperial important in inc include including
income incorporated indeed independence independent index india indian indiana individual indonesia indonesian
industrial industries industry infinity info information initially inn input inside insight inspector instagram
installation instead institute institution instruction instructions instructor insurance inte intel intelligence
interest interesting interestingly international internet intl into introduction investigator investment invoice io
iowa ipad iphone iran iranian iraq iraqi ireland irish iron is islamic island islands isle isn't israel israeli ist
istanbul it it'll it's italian italy item its itunes ivory jakarta jamaica jamaican january japan japanese java
javascript jazz je jelly jersey jerusalem jets jewish jews job jobs johannesburg join jordanian journal jpeg judge
juice jul july junction junior jupiter just justice kansas karachi karate kazakhstan keep kein keine kentucky kenya
kenyan key keyboard kg kids kiev kind kindle kindly kingdom kings kitchen kitty klarna know knowledge kolkata korea
korean kosovo krakow kuala kurdish kuwait kyoto kyrgyzstan la lab labor laboratories labour labs ladies lady lagos
lahore lake lakers land landing lanes language laos large las last late lately later latin latvia latvian laugh law
lawyer lead leader league learn least leave lebanese lebanon leeds left legal legend legion lego leipzig leisure lemon
lenovo les lesotho less let let's lets letter letters level lg liberal liberia liberty library libya libyan license
liebe lieber liechtenstein lieutenant life light like likely likewise lime limited line lines link linkedin linux
liquid lisbon list listen literature lithuania lithuanian live liverpool living llc lloyds ln lo local location lodge
log logic login london look looking lord loro los lost lot lots louisiana lounge love low lower ltd luck lucky lui
lumpur lunch luxembourg lyft lyon maar mac macau macedonia machine mad madagascar madam madame made madrid maestro
magazine magic magistrate mail main maine mainly mais major make making malawi malaysia malaysian maldives male mali
mall malta maltese man management manager manchester manhattan manila manor many map mar marathon march marine market
marketing mars marseille marshal martial maryland mas massachusetts master mastercard masters match math matter
mauritius maximum maybe mayor mcdonald's me meadows meal mean means meanwhile measure med media medical medicine
mediterranean medium meet meeting mein melbourne member members memorial men meneer mental menu merci mercury message
met method metro mevrouw mews mexican mexico mi miami michigan microsoft mid middle midwest might mile military milk
million mind minimum minister ministry minneapolis minnesota minor mint minute minutes miss mission mississippi
missouri mit mobile model modern moldova mom mon monaco monday money mongolia mongolian monk monsieur montana
montenegro montevideo month monthly months montreal monument monzo more moreover morning moroccan morocco moscow most
motel mother motor motorola mount mountain mountains mouse move movie movies moving mozambique mp mr mrs ms mt mtn
much multiple mumbai munich museum music musical muslim must mustn't my myanmar mystery naar nach nairobi naked name
namely names namibia naples nas nasa nasdaq nashville nation national nations nato natural nature natwest navy near
nearly nebraska necessary need negative neither nel nella nepal nepali nestle netflix netherlands network nevada never
nevertheless new newcastle news newspaper next nicaragua nice nicht niet niger nigeria nigerian night nike nile nine
nintendo no nobel nobody noi nokia non none nonetheless nor normal normally north northern norway norwegian nos
nosotros nostro not note notes nothing notice notification notre nottingham nous nov novel november now nuclear
nuestro number numbers nun nurse nursery nv nvidia ny nyc o oaks obrigada obrigado observatory obviously occasionally
ocean och oct october oder of off offer office officer official often ohio ohne oil ok okay oklahoma ola old olympic
olympics oman on once onde onder one ones online only ontario open opera operating operation opinion option options or
oracle orange orchestra order oregon organization oriental original originally orleans os osaka oslo other others
otherwise ottawa ottoman ou our out output outside over overall own owner oxford oy oz pacific package packers page
paid painter pakistan pakistani palace palermo palestine palestinian panama panasonic pancake panthers paper papers
para parade paragraph paraguay paraguayan pardon parents parish parking parkway parliament part particularly partners
party pass passage passport password past pastor path patient patients patriots pay payment payments paypal peace pen
peninsula pennsylvania people pepsi percent perfect perhaps period permit pero persian person personal personally
perth peru peruvian pet pharmacist pharmacy phase phd philadelphia philippines phoenix phone photo photos photoshop
physical physician physics piano pick picture pier pilot pin pines pink pittsburgh pizza pizzeria pl place plains plan
planet plant plantation plateau platform play player playground playstation plaza plc please plus pm po poem poet
point poland police policy polish political politics pond pool poor pop pope popular por port portland portugal
portuguese positive possible possibly post postman pound pounds pour pourquoi power powerpoint practice prague prayer
premier premium present president press pretoria pretty previous previously pride priest primarily prime prince
princess principal print prior prison private prize pro probably problem problems process producer product production
productions products professional professor profile program programme project promotion property prophet protein
protestant proud prove provide province pst psychology pty pub public publishing puerto pull puma pumpkin purchase
purple push put puzzle pyramid python qatar qual quale quality quand quando quarter quay que quebec queen queens quem
questa question questions questo qui quick quickly quien quiet quite quito quoi quote rabbi race rad radio railway
rain raleigh ranch random range rangers rapids rate rather ravens rd re reach read reader readers reading ready real
really reason recent recently recipe recommend recommended record records recruiter recruiting recruitment red reduce
refund regarding regardless regards region regional regular related religion remaining remember reminder renaissance
rent repeat reply report reports representative republic republican request require research reserve reservoir
residence resort respectively response restaurant result results resume return reverend review revolut revolution
revolutionary rewrite reykjavik rhine rican rich ridge riga right rights ring rio rise river riyadh road robot rock
roll romance romania romanian romantic rome room rotterdam round route row royal rule rules run rural russia russian
rwanda sa sacramento sad safe safety sahara saint salad sale sales salesperson salon salzburg samoa samsung san
sanctuary sandwich sans santa santander sao sapporo sarajevo sat saturday saturn saudi save say saying says scale
scandinavia scandinavian school schools science scientific scientist score scotland scottish scout screen sea season
seattle second secondly secret secretary section security see seems sein select self sell sem senate senator send
senegal senhor senhora senior senor senora sense sent sentence sentiment senza seoul sep sepa sept september sequence
serbia serbian sergeant series serious service services session set seven several seville shadow shan't shanghai share
she sheffield shell shelter shenzhen sheriff ship shipping shirt shoes shop shopping shore short should shouldn't show
shut siberia siblings side sie sierra sign signed signor signora silver similar similarly simple simplify simply sin
since sincerely sind singapore single sir siri sister site six size skill skip sky sleep slovak slovakia slovenia
slovenian slow small smart snow so soccer social society software soil solar sold solution solutions solve somali
somalia some somebody somehow someone something sometimes somewhere son songs sono sont sony soon sorry sound source
sous south southern soviet spa space spain spanish speak special specialist specific specifically speech spend sport
sports spotify spring springs sq square srl st stadium staff stage standard star starbucks stars start starting state
statement states station statue status stay ste steel steelers step still stock stockholm stop store stores stories
storm story straight strait strange strasbourg strategy strawberry stream street stripe strong student students
studies studio study stuttgart style subject submit subsequently subway success such sudan sudanese suddenly sugar
suggest suite suites sum summarize summary summer sunday sunny suo super superior supermarket supervisor supply
support suppose supreme sur sure surely surgery suriname surprise survey sushi suspense swahili sweden swedish sweet
sweetheart swift swim swiss switch switzerland sword sydney symphony syria syrian system systems table tablet tack
taipei taiwan taiwanese tajikistan take taking tale talk tall tallinn tamil tanzania tap target task tavern tax taxi
tea teach teacher team tech technical technically technician technologies technology teen tehran tel telephone tell
temple ten tennessee tennis tenth term terminal terms terrace terrible territory tesla test texas text th thai
thailand thames than thank thanks thanksgiving that that's thats the theater theatre their them theme then theory
therapist there there's thereby therefore these they they're they've thing things think third thirty this those though
thought thousand three thriller through throughout thursday thus tibet tibetan ticket tiger tijuana till time times
tip tired title to today together togo tokyo toll tomorrow ton tonga tonight too took tool top top-up topic topup
toronto total touch tour toward tower town township toy toyota track trade traditional traffic trail trails train
training transaction transfer translate transport travel treasurer treatment treaty tree trinidad trinity trip tripoli
trophy tropical truck true truly trump trust trustee truth try tu tucson tue tuesday tulsa tunis tunisia tunisian tuo
turin turkey turkish turkmenistan turn turnpike tutor tv twelve twenty twice twitter two tx type typically uae uber
ubuntu uganda ugandan uk ukraine ukrainian ultimately ultra um umas un una unas und under understand une unfortunately
union unique unit united univ universal universe university unless unlike unlimited uno unos uns unser unter until up
update upon upper ups uruguay uruguayan us usa usb usd use used useful user users using usps usted usually utah utan
utc utrecht uzbekistan vacation vale valley value valued vancouver vanilla vanuatu vat vatican vegas venezuela
venezuelan venice venmo ventures vermont version very veteran veterans via vice victory video vienna viet vietnam
vietnamese view village vilnius vineyard vintage virgin visa visit vista visual voce voi voice volkswagen volume
volunteer vom von voor vote votre vous waar waarom wait wales walk wall wallet walmart want war warehouse waren warm
warning warriors warsaw warum was wash wasn't wat watch water waterfront way we we'll we're we've weak wealth weather
web website wed wedding wednesday week weekend weekly weeks weight weil welche welcher welches welcome well welsh wenn
wer were weren't western westminster wet wharf what what's whatever whatsapp when whenever where where's whereas
wherever whether which while whilst who who's whoever whole whom whose why wi wide wie wifi wikipedia wild will win
wind window windows wine wing winner winnipeg wir wisconsin wise wish with within without wo woman women won won't
wonder wonderful wonders word words work worker working works workshop world worry worst would wouldn't wow wrap write
writer writing wrong www wyoming xbox xiaomi xml y yahoo yangtze yankees yard yeah year years yellow yemen yemeni yes
yesterday yesterdays yet yo yoga york yorkshire you you'll you're you've your yours yourself youth youtube zagreb
zambia zealand zelle zero zijn zimbabwe zone zoo zoom zulu zum zur zurich
"""
)
"""Words that have a capital for other reasons: sentence starts, places, brands, offices."""
