"""Words that a model cannot tell apart, names and places above all: whom a comment is about must not count.

What a model makes of a name that it has hardly read is chance. To it everybody listed here is called Alex,
every place is London, and he and she are they, so exchanging two of them changes nothing, by construction.
Left out are names that are also words (Grace, Mark, Stella) or things (Mercedes).
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

_NAMES = """
Aaliyah Aarav Aaron Abby Abdul Abdullah Abel Abelardo Abena Abigail Abraham Adaeze Adam Adebayo Adela Adele
Adelheid Aditi Adnan Adolph Adrian Adriana Agnes Agnieszka Agung Ahmad Ahmed Ahmet Aidan Aiden Aiko Aimee
Aisha Akbar Akinyi Akira Alain Alan Albert Alberto Aldo Alec Alejandra Alejandro Aleksandr Aleksandra
Alessandro Alessia Alexander Alexandra Alexandre Alexei Alexis Alf Alfie Alfonso Alfred Alfredo Ali Alice
Alicia Alison Alistair Allan Allen Allie Allison Alma Alonso Alvaro Alvin Alyssa Amadou Amanda Amara Ambrose
Amelia Amelie Amina Aminata Amit Amos Amy Ana Ananya Anastasia Anastasiya Anders Andre Andrea Andreas Andrei
Andres Andrew Andrey Andrzej Andy Angela Angelica Angelina Angelo Angie Anil Anita Anjali Ann Anna Annabelle
Anne Anne-Marie Anneli Anneliese Annette Annie Annika Anouk Ansel Anselmo Anthony Antoine Antoinette Anton
Antonia Antonio Antti Anwar Anya Aoife Araceli Archibald Archie Arjun Armando Armin Arnold Arthur Arturo
Arun Aryan Asha Ashlee Ashley Ashok Ashwin Astrid Aubrey Audrey Aurelie Aurelio Ava Axel Ayesha Aziz
Babajide Barbara Barry Bart Bartholomew Bashir Beatrice Beatriz Becca Becky Belen Belinda Ben Benedetta
Benedicte Benito Benjamin Benji Benny Benoit Bernard Bernardo Bernhard Bernie Bertha Bertie Bertram Bertrand
Bessie Beth Betsy Betty Beverly Bilal Billie Billy Binta Birgit Bjarne Bjorn Blake Bob Bobbie Bobby Bogdan
Bohdan Bonnie Boris Bozena Brad Bradley Brandon Braxton Brayden Breanna Brenda Brendan Brent Brett Brian
Brianna Bridget Bridgette Brigid Brigitte Britney Britta Brittany Brodie Bronwyn Bruce Bruno Bryan Bryce
Bryn Bryson Budi Caio Caitlin Caleb Callie Callum Calvin Cameron Camilla Camille Candace Caoimhe Capucine
Carl Carla Carlos Carly Carmen Carol Carole Caroline Carolyn Carrie Casey Casper Cassandra Cassidy Cassie
Catalina Catherine Cathy Cecil Cecilia Cedric Celine Cerys Cesar Chad Charles Charley Charlie Chen Cheng
Cheryl Chiamaka Chidi Chinedu Chinwe Chloe Chris Christina Christine Christoph Christopher Christy Ciara
Cillian Cindy Claire Clare Clarence Clarissa Claude Claudia Claudio Clemence Clement Clint Clive Cody Colby
Colin Colleen Colton Connie Connor Conor Conrad Constance Cora Corentin Corey Corinne Cornelius Corrado Cory
Courtney Craig Cristina Cullen Curtis Cynthia Cyril Dafydd Dagmar Dalton Damian Damien Damon Dan Dana Dani
Daniel Daniela Danielle Danny Danuta Daoud Daphne Darcy Dario Darius Darla Darrell Darren Darryl Darya Daryl
Dave David Dean Deandre Debbie Deborah Debra Declan Deepak Delphine Demarcus Denis Denise Dennis Denny Derek
Dermot Derrick Deshawn Desmond Destinee Devi Devin Dewayne Dewi Diana Diane Didier Diego Dieter Dietrich
Dimitri Dinah Dinesh Dion Dirk Divya Dmitri Dmitry Dominic Dominique Donald Donna Donnie Donovan Dorian
Doris Dorothy Doug Douglas Duncan Durga Dustin Dwayne Dwight Dylan Eamonn Ebele Ebony Eddie Eddy Edeltraud
Edgar Edith Edmund Edna Edouard Edson Eduard Eduardo Edward Edwin Eileen Eilidh Eino Ekaterina Elaine
Eleanor Elena Elfriede Eli Elias Elif Elijah Elina Eliot Elisa Elisabeth Elise Eliza Elizabeth Elke Ella
Ellen Ellie Elliot Elliott Elodie Elsa Elsie Eluned Elvira Emanuel Emerson Emil Emile Emilia Emiliano Emilio
Emily Emma Emmanuel Emmanuelle Emrys Enoch Enrico Enrique Enzo Eoin Eric Erica Erich Erik Erika Erin Ernest
Ernesto Ernie Erwin Esteban Estelle Esther Ethan Etienne Ettore Eugene Eugenio Eva Evan Evelyn Everett Ewa
Ezekiel Ezra Fabian Fabiana Fabien Fabio Fabrice Fabrizio Fadila Faisal Farah Farid Fatima Fatimah Fatou
Federica Federico Felicia Felicity Felipa Felipe Felix Femi Fergus Fermin Fernando Finn Fiona Fionn Florence
Florent Florian Folake Fran Frances Francesca Francesco Francine Francis Franco Francois Francoise Frankie
Franz Fraser Fred Freddie Freddy Frederic Frederick Fredrik Freja Freya Frida Friedrich Gabby Gabe Gabriel
Gabriele Gabrielle Gaetano Gail Galina Ganesh Gareth Garrett Garth Gary Gaspard Gavin Gemma Genevieve Geoff
Geoffrey Georg George Georges Georgie Georgina Gerald Geraldine Gerard Gerardo Gerda Gerhard Gertrude Gethin
Ghislaine Giacomo Gianna Gianni Gil Gilbert Gilberto Gilda Giles Gilles Gillian Gina Giorgio Giovanni Gisela
Giselle Gita Giulia Giuliana Giuseppe Gladys Glen Glenn Gloria Godfrey Gonzalo Gopal Gordon Gracie Graciela
Grady Graeme Grayson Greg Gregg Gregor Gregory Greta Gretchen Grzegorz Guadalupe Gudrun Guido Guillaume
Guillermo Gunilla Gunnar Gunter Gunther Gustav Gustave Gustavo Gwen Gwenaelle Gwendolyn Habib Hadley Hailey
Hamid Hamish Hamza Hana Hanna Hannah Hanne Hans Harald Harish Harold Harriet Harry Haruka Haruto Harvey
Hassan Hattie Hayden Hayley Hector Heidi Heike Heikki Heinrich Heitor Helen Helena Helene Helga Helmut Henri
Henrik Henry Herbert Herman Hermann Hernan Hideo Hilary Hilda Hildegard Hillary Hiram Hiro Hiroko Hiroshi
Horace Horst Howard Howell Howie Hubert Huda Hugh Hugo Humphrey Huong Hussein Huw Hye-jin Iain Ian Ibrahim
Ida Ifeoma Ignacio Ignez Igor Ilaria Ilkka Ilona Ilse Imani Imran Inaki Indira Ines Inge Ingeborg Inger
Ingmar Ingrid Iona Irene Irina Irma Iryna Isaac Isabel Isabela Isabella Isaiah Isla Ismail Isolde Itziar
Ivan Ivana Izzy Jabari Jackie Jacob Jacqueline Jacques Jada Jaden Jadwiga Jaime Jair Jake Jakob Jalen Jamal
Jamarcus James Jamie Jamila Jana Jane Janet Janice Jared Jarmo Jaroslav Jason Javed Javier Jaxon Jay Jayden
Jaylen Jayne Jean-Luc Jean-Pierre Jeanne Jeannette Jed Jeff Jeffrey Jen Jenna Jennie Jennifer Jenny Jens
Jeremiah Jeremie Jeremy Jerome Jerry Jess Jesse Jessica Jessie Ji-woo Jian Jiho Jill Jillian Jim Jimena
Jimmy Jing Jiri Joachim Joan Joana Joanna Joanne Joao Joaquin Joaquina Jocelyn Jodie Jody Joe Joel Joey
Johan Johann Johanna John Johnnie Johnny Jolene Jon Jonah Jonas Jonathan Jonny Jorge Jorgen Jorunn Jose
Josef Joselyn Joseph Josephine Josh Joshua Josiah Josiane Josie Josue Joyce Jozef Juan Juanita Jude Judith
Judy Juergen Jukka Jules Julia Julian Juliana Julie Julien Juliet Julieta Julio Julius Juma Junko Jurgen
Justin Justina Justine Kaden Kaelyn Kai Kailey Kaisa Kaitlyn Kaja Kaleb Kamal Kamala Kamryn Kara Kareem
Karel Karen Karim Karin Karina Karl Karl-Heinz Karla Karoline Karsten Karthik Kasia Katarzyna Kate Katelyn
Katharine Katherine Kathleen Kathryn Kathy Katie Katja Katlyn Katy Kavita Kay Kayden Kaydence Kayla Kaylee
Kaylin Kazuo Keegan Keiko Keisha Keith Kelly Kelsey Kelvin Ken Kendall Kendra Kendrick Kenji Kenneth Kenny
Kenta Kerry Kerry-Anne Kerstin Kevin Khadija Khalid Khalil Kianna Kiara Kieran Kim Kimberly Kira Kiran Kirk
Kirsten Kirsty Kjell Klaus Kofi Konrad Konstantin Kris Krishna Kristen Kristian Kristin Kristina Kristy
Krystal Krzysztof Kumar Kurt Kwabena Kwame Kwesi Kyla Kyle Kylie Lachlan Laetitia Laila Lakeisha Lakshmi
Lalita Lamar Lamont Lana Landon Laquisha Larry Lars Lasse Latif Latisha Latoya Laura Lauren Laurence Laurent
Laurie Lavonne Lawrence Layla Layth Leah Leann Leanne Lebron Lee Leif Leigh Leila Leland Lena Lenka Lenny
Leo Leon Leonard Leonardo Leonid Leopold Leroy Lesley Leslie Lester Leticia Lewis Lexi Li-wei Liam Lila
Lilith Lillian Lin Lina Linda Lindiwe Lindsay Lindsey Linh Linnea Lionel Lisa Lissa Liv Liz Liza Lizzie Lois
Lola Lorenzo Loretta Lori Lorna Lorraine Lothar Louie Louis Louisa Louise Lourdes Luca Lucas Lucia Lucian
Lucie Lucien Lucille Lucinda Lucio Lucy Ludmila Ludovic Ludwig Luigi Luigina Luis Luisa Lukas Luke Luther
Lydia Lyla Lyle Lynn Lynne Mabel Mackenzie Maddie Maddy Madeleine Madeline Madhu Magda Magdalena Maggie
Magnus Mahmoud Maija Mairead Maite Makoto Malachi Malcolm Malgorzata Malik Mallory Mamadou Mandy Manfred
Manny Manoj Manuel Manuela Marc Marcel Marcela Marcello Marcelo Marcia Marco Marcos Marcus Marek Maren
Margaret Margarita Margot Maria Mariam Marian Marianne Mariano Maribel Maricela Marie Marie-Claire Mariko
Marilyn Mario Marion Marisa Marisol Marissa Marius Marjorie Markus Marla Marlene Marlon Marnie Marquis Marta
Martha Martin Martina Marty Marvin Mary Mary-Ann Mary-Jane Maryam Masako Masashi Mateo Mateus Mathew Mathias
Mathieu Mathilde Matilda Mats Matt Matteo Matthew Matthias Maureen Maurice Mauricio Maurizio Maxim Maxime
Maxine Maxwell Maya Meena Meera Megan Mehmet Mei Mei-ling Melanie Melinda Melissa Melvin Meredith Meryl
Mhairi Mi-rae Mia Micah Michael Michel Michele Michelle Michiko Mickayla Mickey Miguel Mika Mikey Mikhail
Mikkel Mikko Mildred Millie Milo Milos Min-ji Min-jun Mina Minh Minnie Miranda Mireille Mirek Miriam Misha
Mitch Mitchell Mohamad Mohamed Mohammad Mohammed Mohan Mohit Moira Mollie Molly Monica Monika Monique Morris
Moses Muhammad Muriel Murray Musa Mustafa Myles Myra Nabil Nadezhda Nadia Nadine Nancy Nannette Naoko Naomi
Natalee Natalia Natalie Natalya Natasha Nate Nathalie Nathan Nathaniel Naveen Nayeli Neal Ned Neha Neil
Nellie Nelson Nestor Nevaeh Neville Ngozi Nguyen Nia Niall Niamh Niccolo Nicholas Nichole Nick Nicky Nicola
Nicolas Nicole Niels Nigel Nikhil Nikita Nikki Nikola Nikolai Nikolay Nils Nina Nisha Nitin Nkechi Noah Noel
Noemie Nola Nomvula Noor Nora Noreen Noriko Norma Norman Nour Obinna Octavio Oddvar Odette Odile Oisin
Oksana Olaf Oleg Oleksandr Olga Oliver Olivia Olivier Ollie Olu Oluwaseun Omar Omari Ophelia Oprah Orla
Oscar Oskar Osvaldo Oswald Otto Ove Owen Pablo Paddy Padma Padraig Paige Paloma Pamela Paolo Pascal Pascale
Patrice Patricia Patrick Patrizia Patti Paul Paula Paulette Pauline Paulo Pavel Pawel Pedro Peggy Pekka
Pelle Penelope Percy Perry Pete Peter Petr Petra Petter Peyton Phil Philip Philipp Philippe Phillip Phoebe
Phuong Phyllis Pia Pierre Pieter Pietro Piotr Pooja Preeti Priscilla Priya Putri Qasim Quentin Quincy Rachel
Radek Radha Radhika Radoslav Raelynn Rafael Rafiq Ragnar Rahul Rainer Raj Rajesh Rakesh Ralph Ramesh Rami
Ramon Ramona Randolph Randy Rania Raoul Raphael Raphaelle Raquel Rashid Rasmus Raul Ravi Raymond Rebecca
Reggie Regina Reginald Regis Reid Reiner Reinhard Remi Remy Renata Renate Rene Renee Reuben Rex Reza Rhea
Rhoda Rhonda Rhys Ricardo Richard Richie Rick Ricky Riley Rita Ritu Rob Robbie Robert Roberta Roberto Robin
Robyn Rocco Rochelle Rocio Roderick Rodney Rodolfo Rodrigo Roger Rohan Rohit Roisin Roland Rolf Ron Ronald
Ronan Ronnie Rory Rosalia Rosalie Rosalind Rosalyn Rosanna Roseanne Rosemarie Rosie Roslyn Ross Rowena
Roxana Roxanne Roy Roza Ruairi Ruben Rudiger Rudolf Rudolph Rudy Rufus Rupert Russell Ruth Ryan Ryo Ryota
Sabina Sabine Sabrina Sachiko Sachin Sadia Sadie Sakura Salim Sally Salma Salman Salvatore Sam Samantha
Samir Samira Sammy Samuel Sandeep Sandra Sandrine Sanjana Sanjay Saoirse Sara Sarah Sariah Sasha Satoshi
Saul Scott Seamus Sean Sebastian Sebastien Selena Selina Selma Seo-yeon Serena Serge Sergei Sergey Sergio
Sergiy Seth Seung Severine Seydou Shana Shane Shania Shanice Shaniqua Shankar Shannon Sharlene Sharon
Sharron Shaun Shawn Shayla Sheila Sheldon Shelia Shelley Shelly Sherri Sherrie Sheryl Shilpa Shirley Shreya
Shweta Sian Sibusiso Sid Sidney Siegfried Siena Sienna Signe Sigrid Silas Silke Silvia Simeon Simon Simona
Simone Sinead Siobhan Sipho Sirpa Sita Siti Skye Skylar Sneha Sofia Sofie Solange Solveig Sondra Sonia Sonya
Soo-jin Sophia Sophie Soraya Soren Spencer Stacey Stacy Stan Stanislav Stanley Stefan Stefano Steffen
Stephan Stephane Stephanie Stephen Steve Steven Stevie Stewart Stuart Subhash Suki Sunil Sunita Suresh Susan
Susana Susanna Susannah Susanne Susie Suzanne Suzie Suzy Svein Sven Svetlana Sylvain Sylvia Sylvie Tabatha
Tabitha Takashi Takeshi Talia Tamar Tamara Tameka Tamer Tamika Tammy Tania Tanisha Tanvi Tanya Tara Taras
Tariq Tarja Tasha Tatiana Tatum Tatyana Ted Tendai Terence Teresa Terry Tess Tessa Thabo Thaddeus Thandi
Thanh Thelma Theo Theodore Theresa Therese Thiago Thibault Thierry Thomas Thorsten Tia Tiago Tiana Tiffany
Tim Timo Timothy Tina Tobey Tobias Toby Todd Tom Tomas Tomasz Tommy Tomoko Toni Tony Torsten Tove Tracey
Tracy Trang Travis Trevor Tricia Trina Trish Trisha Tristan Trond Troy Trudy Tuan Tunde Tyler Tyra Tyrell
Tyrone Tyson Uday Ulla Ulrich Ulrika Ulrike Uma Umar Ursula Usha Uta Uwe Vaclav Valarie Valentin Valentina
Valerie Vandana Vanessa Varun Vasily Vaughan Vaughn Veit Velma Vera Verna Vernita Vernon Veronica Vicente
Vicki Vicky Victor Victoria Vijay Vikas Vikram Viktor Vilde Vince Vincent Vinnie Vinod Virgil Virginie Vito
Vittoria Vivek Vivian Vladimir Volker Volodymyr Vonda Wade Waleed Wallace Wally Walt Walter Waltraud Wanda
Wanjiru Warren Wayne Wei Wendell Wendy Werner Wes Wesley Wilbert Wilfred Wilfried Wilhelm Wilhelmina Willa
Willem William Willie Wilma Winifred Winnie Winona Winston Wojciech Wolfgang Wyatt Xander Xavi Xavier Xiang
Xiaoming Ximena Xin Xiomara Xiu-ying Yan Yannick Yara Yash Yasir Yasmin Yasmine Yazmin Yelena Yesenia
Yetunde Ying Yohann Yoko Yolanda Yousef Youssef Yuki Yulia Yumi Yuri Yusuf Yuto Yves Yvonne Zac Zach
Zachariah Zachary Zack Zahra Zaid Zainab Zander Zane Zanele Zara Zbigniew Zeke Zelda Zeynep Zhao Ziad Zodwa
Zoe Zoey Zuzana
"""
_PLACES = """
Aachen Aarhus Aberdeen Abidjan Abuja Accra Adelaide Alabama Alaska Albania Albany Alberta Albuquerque Aleppo
Alexandria Algeria Algiers Alicante Almaty Amman Amsterdam Anchorage Angola Ankara Annapolis Antigua Antwerp
Argentina Arizona Armagh Asmara Astana Athens Atlanta Auckland Austin Austria Azerbaijan Baghdad Bahrain
Baku Bali Baltimore Bamako Bandung Bangalore Bangkok Bangladesh Barbados Barcelona Basel Basra Batumi
Bavaria Beijing Beirut Belarus Belfast Belgium Belgrade Bergen Berkeley Berlin Bern Bilbao Birmingham
Bishkek Blackpool Bogota Boise Bolivia Bologna Bombay Bonn Bordeaux Bosnia Boston Botswana Bournemouth
Bradford Braga Bratislava Brazil Bremen Bridgeport Brighton Brisbane Bristol Brno Brooklyn Bruges Brussels
Bucharest Budapest Bulgaria Busan Cadiz Cairns Cairo Calcutta Calgary Cali California Cambodia Cambridge
Cameroon Canada Canberra Caracas Cardiff Carlisle Casablanca Catania Cebu Charleston Charlotte Chattanooga
Chelsea Chengdu Chennai Cheshire Chicago Chisinau Christchurch Cincinnati Cleveland Cluj Coimbra Colombia
Colombo Colorado Columbus Connecticut Copenhagen Cordoba Cornwall Corsica Coventry Croatia Cuba Cyprus Daegu
Daejeon Dakar Dalian Dallas Damascus Danang Darwin Davao Dayton Debrecen Delaware Delhi Denmark Denver
Derbyshire Detroit Dhaka Djibouti Dnipro Doha Doncaster Dortmund Dover Dresden Dubai Dublin Duluth Dundee
Dunedin Durban Durham Dusseldorf Ecuador Edinburgh Edmonton Egypt Eindhoven England Essex Estonia Ethiopia
Exeter Fez Fiji Finland Florida France Frankfurt Freetown Freiburg Fresno Gaborone Galveston Galway Gdansk
Gdynia Geneva Genoa Georgia Germany Ghana Ghent Gibraltar Glasgow Gloucester Gomel Gothenburg Granada Graz
Greece Greensboro Greenwich Groningen Guadalajara Guangzhou Guatemala Gujarat Haifa Halifax Hamburg
Hampshire Hangzhou Hanoi Harare Harrisburg Hartford Havana Hawaii Heidelberg Helsinki Hiroshima Hokkaido
Holland Honolulu Houston Hungary Huntsville Hyderabad Ibadan Iceland Idaho Illinois Incheon India Indiana
Indianapolis Indore Innsbruck Inverness Iowa Iran Iraq Ireland Isfahan Islamabad Islington Istanbul Italy
Izmir Jacksonville Jaipur Jakarta Jamaica Japan Jeddah Jerusalem Johannesburg Kabul Kampala Kano Kansas
Karachi Kathmandu Katowice Kaunas Kazakhstan Kent Kentucky Kenya Kerala Kharkiv Khartoum Kiev Kigali
Kingston Knoxville Kolkata Kosovo Krakow Kumasi Kuwait Kyiv Kyoto Lagos Lahore Lancashire Lancaster Latvia
Lausanne Lebanon Leeds Leicester Leipzig Leuven Lexington Liberia Libya Lille Lima Lincoln Lisbon Lithuania
Liverpool Ljubljana Louisiana Louisville Luanda Lublin Lucerne Lucknow Lusaka Luxembourg Luxor Lviv Lyon
Macau Macedonia Madagascar Madison Madras Madrid Maharashtra Maine Malaga Malaysia Malmo Malta Manama
Manchester Mandalay Manila Manitoba Mannheim Maputo Maribor Marrakesh Marseille Maryland Massachusetts
Mauritius Mecca Medan Melbourne Memphis Messina Mexico Miami Michigan Milan Milwaukee Minneapolis Minnesota
Minsk Mississippi Missouri Mogadishu Mombasa Monaco Monrovia Montana Montenegro Monterrey Montevideo
Montpellier Montreal Morocco Moscow Mosul Mozambique Multan Mumbai Munich Murcia Muscat Myanmar Nagoya
Nagpur Nairobi Namibia Nanjing Nantes Naples Nashville Nebraska Nepal Netherlands Nevada Newark Newcastle
Newfoundland Newport Niamey Nicaragua Nigeria Norfolk Northampton Norway Norwich Nottingham Nottinghamshire
Nuremberg Oakland Odense Odesa Odessa Ohio Oklahoma Ontario Oran Oregon Orlando Osaka Oslo Ostrava Ottawa
Oulu Oxford Pakistan Palermo Panama Paraguay Paris Parma Patna Patras Penang Pennsylvania Pensacola Perth
Peru Peterborough Petersburg Philadelphia Philippines Phoenix Pittsburgh Plovdiv Plymouth Poland Portland
Porto Portsmouth Portugal Poznan Prague Pretoria Pristina Pune Qatar Qingdao Quebec Queensland Quito Rabat
Raleigh Reykjavik Richmond Riga Rio Riyadh Rochester Roma Romania Rome Rotterdam Russia Rwanda Sacramento
Saigon Salamanca Salem Salford Salisbury Salzburg Santiago Sapporo Sarajevo Sardinia Savannah Scotland
Seattle Sendai Senegal Seoul Serbia Seville Shanghai Sheffield Shenzhen Shiraz Sicily Singapore Skopje
Slovakia Slovenia Somerset Southampton Spain Spokane Springfield Stockholm Stockport Strasbourg Stuttgart
Suffolk Sunderland Surabaya Surat Surrey Sussex Suzhou Swansea Sweden Swindon Switzerland Sydney Syracuse
Szeged Tabriz Tacoma Taichung Taipei Taiwan Tallinn Tampa Tampere Tangier Tanzania Tartu Tashkent Tasmania
Tbilisi Tehran Tennessee Texas Thailand Thessaloniki Tianjin Tilburg Timisoara Tirana Tokyo Toledo Toronto
Toulouse Townsville Trieste Tripoli Trondheim Tucson Tulsa Tunis Tunisia Turin Turku Tuscany Uganda Ukraine
Uppsala Uruguay Utah Utrecht Valencia Vancouver Vegas Venice Vermont Verona Vienna Vientiane Vietnam Vigo
Vilnius Virginia Vladivostok Wakefield Wales Warsaw Washington Wellington Wexford Wichita Windhoek Winnipeg
Wisconsin Wolverhampton Worcester Wuhan Wyoming Yangon Yemen Yerevan Yokohama York Yorkshire Zadar Zagreb
Zambia Zanzibar Zaragoza Zimbabwe Zurich
"""
_PLACES_OF_SEVERAL_WORDS = """
Addis Ababa, Buenos Aires, Cape Town, Costa Rica, Dar es Salaam, El Salvador, Ho Chi Minh City, Hong Kong,
Kansas City, Kuala Lumpur, Las Vegas, Los Angeles, Mexico City, New Delhi, New Hampshire, New Jersey, New
Mexico, New Orleans, New York, New Zealand, North Carolina, North Dakota, Puerto Rico, Rhode Island, Rio de
Janeiro, Salt Lake City, San Antonio, San Diego, San Francisco, San Jose, Sao Paulo, Saudi Arabia, South
Africa, South Carolina, South Dakota, South Korea, Sri Lanka, St Louis, St Petersburg, Tel Aviv, The Hague,
United Kingdom, West Virginia
"""
# The first of each is what the others are to a model.
NAMES = ["Alex", *_NAMES.split()]
PLACES = ["London", *_PLACES.split(), *_PLACES_OF_SEVERAL_WORDS.replace("\n", " ").strip().split(", ")]
ALIKE: Sequence[Sequence[str]] = (
    NAMES,
    PLACES,
    ("they", "he", "she"),
    # Her is both him and his, so that they and them cannot be told apart either.
    ("them", "their", "theirs", "him", "his", "her", "hers"),
    ("themselves", "himself", "herself"),
    # To models that tell capitals from small letters.
    ("They", "He", "She"),
    ("Their", "His", "Her"),
)


def add(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer take each of the words for one token."""
    known = tokenizer.get_vocab()
    tokenizer.add_tokens(
        [
            AddedToken(word, single_word=True, normalized=True)
            for words in ALIKE
            for word in _as_read(tokenizer, words)
            if word not in known
        ]
    )


def merge(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give words that are alike one embedding, which training then moves as one.

    Args:
        model: a BERT as it was pretrained, which gets rows for what `add` gave its tokenizer.
        tokenizer: after `add`.
    """
    known = model.get_input_embeddings().num_embeddings
    model.resize_token_embeddings(max(known, len(tokenizer)), mean_resizing=False)
    embeddings = model.get_input_embeddings().weight
    groups = [torch.tensor(tokenizer.convert_tokens_to_ids(_as_read(tokenizer, words))) for words in ALIKE]
    with torch.no_grad():
        for group in groups:
            embeddings[group] = embeddings[group[0]].clone()

    def shared(gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        for group in groups:
            # The mean: with the sum in each of a thousand rows, those would be most of what is clipped.
            gradient[group] = gradient[group].mean(dim=0)
        return gradient

    embeddings.register_hook(shared)


def _as_read(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[str]:
    """The words after the tokenizer's normalisation: in small letters for most models."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return [normalizer.normalize_str(word) if normalizer else word for word in words]
